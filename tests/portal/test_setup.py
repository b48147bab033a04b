"""``manage.py setup``: what a deployment runs before everything else."""

from __future__ import annotations

from io import StringIO

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command

pytestmark = pytest.mark.django_db


def run() -> str:
    out = StringIO()
    call_command("setup", stdout=out)
    return out.getvalue()


def test_the_first_administrator_gets_the_given_password_which_is_not_told(monkeypatch) -> None:
    monkeypatch.setenv("ADMIN_PASSWORD", "given-by-a-file")

    told = run()

    assert get_user_model().objects.get(username="admin").check_password("given-by-a-file")
    assert "given-by-a-file" not in told
    assert "sign in as admin" in told


def test_a_password_is_made_up_and_shown_when_none_is_given(monkeypatch) -> None:
    monkeypatch.delenv("ADMIN_PASSWORD", raising=False)

    shown = run().split("sign in as admin with ")[1].split()[0]

    assert get_user_model().objects.get(username="admin").check_password(shown)


def test_a_second_run_changes_no_password(monkeypatch) -> None:
    monkeypatch.setenv("ADMIN_PASSWORD", "the-first-one")
    run()
    monkeypatch.setenv("ADMIN_PASSWORD", "another-one")

    assert run() == "bonghwa: the database is ready\n"
    assert get_user_model().objects.get(username="admin").check_password("the-first-one")
