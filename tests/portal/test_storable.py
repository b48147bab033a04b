"""Text that no database keeps gets a sentence and never reaches a view, a session or a row."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.portal.storable_attack import attack


@pytest.mark.django_db
def test_a_character_that_cannot_be_stored_is_refused_wherever_it_stands(settings):
    settings.LANGUAGE_CODE = "en"
    told = attack(User.objects.create_superuser("root"))
    assert {name: status for name, (status, _text) in told.items() if status != 400} == {}
    assert all("NUL" in text for _status, text in told.values())


@pytest.mark.django_db
def test_a_text_of_many_scripts_passes():
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    assert client.get("/audit/", {"actor": "봉화 🔥 \U0010ffff \x01"}).status_code == 200


@pytest.mark.slow
@pytest.mark.postgres
def test_postgresql_is_never_asked_to_store_it(tmp_path, migrated_postgres_url):
    environment = {**os.environ, "DATABASE_URL": migrated_postgres_url, "DATA_DIR": str(tmp_path)}
    program = [sys.executable, "-m", "tests.portal.storable_attack"]
    done = subprocess.run(program, env=environment, capture_output=True, check=True, timeout=90)  # noqa: S603 - our own program
    assert {status for status, _text in json.loads(done.stdout).values()} == {400}
