"""Measures that belong to no incident: added once for a finding, verified like all others."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from incidents import checklist, registry
from incidents.models import ChecklistItem, ItemState, Outcome, TimelineEvent
from incidents.registry import Verdict, Verifier
from tests.dashboard.world import person

pytestmark = pytest.mark.django_db


def standing(key: str = "posture:x", verifier: str = "") -> tuple[ChecklistItem, bool]:
    return checklist.add_standing(
        key=key,
        text="Set a limit",
        verifier=verifier,
        target="web",
        parameters={},
        today=timezone.localdate(),
    )


def test_one_finding_makes_one_measure() -> None:
    first, made = standing()
    again, made_again = standing()
    assert (made, made_again, first.pk == again.pk) == (True, False, True)
    assert first.incident is None
    with pytest.raises(IntegrityError), transaction.atomic():
        ChecklistItem.objects.create(text="the same", draft_key="posture:x")


def test_it_is_verified_and_fails_without_a_timeline(monkeypatch) -> None:
    verdicts = [Outcome.PASS, Outcome.FAIL, Outcome.FAIL]
    check = Verifier("t.standing", "t", lambda target, _given: Verdict(verdicts.pop(0), target, "look"))
    monkeypatch.setitem(registry._verifiers, "t.standing", check)
    item, _made = standing(verifier="t.standing")
    now = timezone.now()
    states = []
    for minutes in range(3):
        checklist.verify_all(now=now + timedelta(minutes=minutes))
        item.refresh_from_db()
        states.append(item.state)
    assert states == [ItemState.VERIFIED, ItemState.VERIFIED, ItemState.FAILING]
    assert item.observed == "web"
    assert not TimelineEvent.objects.exists()


def test_it_is_claimed_and_shown_on_every_list(client: Client) -> None:
    item, _made = standing()
    checklist.claim(item=item, at=timezone.now(), actor=None)
    client.force_login(person("ada", "admin"))
    assert "Set a limit" in client.get("/checklist/").content.decode()
    assert client.get("/api/v1/checklist").json()[0]["incident"] is None
    user = person("root", "admin")
    user.is_staff = True
    user.save()
    client.force_login(user)
    for path in ("/admin/incidents/checklistitem/", f"/admin/incidents/checklistitem/{item.pk}/change/"):
        assert client.get(path).status_code == 200, path
