"""What an item's state rests on: stale evidence, the difference at a failure, packs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from incidents import checklist, packs, registry
from incidents.models import (
    AuditEntry,
    ChecklistItem,
    ItemPack,
    ItemState,
    Outcome,
    Report,
    RunTrigger,
    TimelineEvent,
    TimelineKind,
)
from incidents.registry import ChangeSeen, Verdict, Verifier
from tests.incidents.conftest import NOW, after, fire

pytestmark = pytest.mark.django_db

DAY = 86_400
PASS, FAIL, UNKNOWN = Outcome.PASS, Outcome.FAIL, Outcome.UNKNOWN


@pytest.fixture
def verdicts(monkeypatch) -> list[Verdict]:
    """What the verifier ``test.look`` says, one after another."""
    said: list[Verdict] = []
    verifier = Verifier("test.look", "Look", lambda _target, _given: said.pop(0))
    monkeypatch.setitem(registry._verifiers, verifier.name, verifier)
    return said


@pytest.fixture
def item() -> ChecklistItem:
    report = Report.objects.create(incident=fire().incident, title="x", analysed_at=NOW)
    return ChecklistItem.objects.create(report=report, text="제한", verifier="test.look", target="web")


def look(verdicts: list[Verdict], at: datetime, outcome: Outcome, seen: str = "x", **more: Any) -> str:
    """Verify once and return the item's state."""
    verdicts.append(Verdict(outcome, seen, "a look", **more))
    checklist.verify_all(now=at)
    return ChecklistItem.objects.get().state


@pytest.mark.parametrize(
    ("state", "known_before_s", "outcome", "gone", "expected"),
    [
        ("verified", 7 * DAY + 1, UNKNOWN, False, True),
        ("verified", 7 * DAY - 1, UNKNOWN, False, False),
        ("verified", 3601, UNKNOWN, True, True),
        ("verified", 3599, UNKNOWN, True, False),
        ("verified", None, UNKNOWN, True, False),
        ("verified", 7 * DAY + 1, PASS, False, False),
        ("failing", 7 * DAY + 1, UNKNOWN, True, False),
        ("claimed", None, UNKNOWN, True, False),
    ],
)
def test_verified_is_stale_when_nothing_was_known_for_long(
    state: str, known_before_s: int | None, outcome: Outcome, gone: bool, expected: bool
) -> None:
    known = None if known_before_s is None else NOW - timedelta(seconds=known_before_s)
    verdict = Verdict(outcome, "", "", gone=gone)
    assert checklist.is_stale(state, known, verdict, NOW) is expected


def test_a_target_that_went_away_makes_it_stale_and_its_return_verified(
    item: ChecklistItem, verdicts: list[Verdict]
) -> None:
    assert look(verdicts, NOW, PASS) == ItemState.VERIFIED
    assert look(verdicts, after(1800), UNKNOWN, gone=True) == ItemState.VERIFIED
    assert look(verdicts, after(3700), UNKNOWN, gone=True) == ItemState.STALE
    assert look(verdicts, after(3800), PASS) == ItemState.VERIFIED


def test_a_source_that_is_away_neither_reopens_nor_soon_makes_stale(
    item: ChecklistItem, verdicts: list[Verdict]
) -> None:
    look(verdicts, NOW, PASS)
    states = {look(verdicts, after(day * DAY), UNKNOWN) for day in range(1, 8)}
    assert states == {ItemState.VERIFIED}
    assert look(verdicts, after(8 * DAY), UNKNOWN) == ItemState.STALE


def test_taking_the_verifier_away_makes_a_verified_item_stale(
    item: ChecklistItem, verdicts: list[Verdict]
) -> None:
    look(verdicts, NOW, PASS)
    ChecklistItem.objects.update(verifier="")
    checklist.verify_all(now=after(60))
    assert ChecklistItem.objects.get().state == ItemState.STALE


def test_a_failure_keeps_what_was_seen_before_and_what_changed_in_between(
    item: ChecklistItem, verdicts: list[Verdict], monkeypatch
) -> None:
    asked = []

    def explain(verifier: str, target: str, since: datetime, until: datetime) -> list[ChangeSeen]:
        asked.append((verifier, target, since, until))
        return [ChangeSeen(what="limits.memory_bytes", before="2147483648", after="", at=after(100))]

    def broken(*_given: object) -> list[ChangeSeen]:
        raise RuntimeError("no history")

    monkeypatch.setitem(registry._explainers, "test", explain)
    monkeypatch.setitem(registry._explainers, "broken", broken)
    look(verdicts, NOW, PASS, "2 GiB")
    look(verdicts, after(120), FAIL, "no memory limit")
    assert asked == [], "one failure is not told"
    look(verdicts, after(300), FAIL, "no memory limit")

    assert asked == [("test.look", "web", NOW, after(120))]
    difference = ChecklistItem.objects.get().difference
    assert (difference["before"], difference["after"]) == ("2 GiB", "no memory limit")
    (change,) = difference["changes"]
    assert (change["what"], change["before"], change["after"]) == ("limits.memory_bytes", "2147483648", "")
    told = TimelineEvent.objects.filter(incident=item.incident, kind=TimelineKind.CHECKLIST).latest("at")
    assert "limits.memory_bytes 2147483648 → —" in told.data["changed"]

    look(verdicts, after(400), PASS, "2 GiB")
    assert ChecklistItem.objects.get().difference == {}


def test_an_item_that_is_verified_in_another_way_is_open_again(
    item: ChecklistItem, verdicts: list[Verdict]
) -> None:
    look(verdicts, NOW, PASS)
    item.refresh_from_db()
    checklist.forget(item=item, at=after(1), actor=None)
    item.refresh_from_db()
    assert (item.state, item.known_at, item.failures) == (ItemState.OPEN, None, 0)


def test_a_run_says_why_it_was_made_and_a_budget_leaves_the_rest_for_the_next(
    item: ChecklistItem, verdicts: list[Verdict]
) -> None:
    other = ChecklistItem.objects.create(report=item.report, order=1, text="둘째", verifier="test.look")
    verdicts += [Verdict(PASS, "", ""), Verdict(PASS, "", "")]
    assert checklist.verify_all(now=NOW, budget_s=-1.0) == []
    checklist.verify_items(items=[item], now=NOW, trigger=RunTrigger.PERSON)
    assert item.runs.get().trigger == RunTrigger.PERSON

    verdicts.append(Verdict(PASS, "", ""))
    oldest_first = checklist.verify_all(now=after(60), budget_s=60.0)
    assert [run.item_id for run in oldest_first] == [other.pk, item.pk]


def test_a_pack_is_applied_once_to_each_service(django_user_model) -> None:
    owner = django_user_model.objects.create_user("alice")
    pack = ItemPack.objects.get()
    first = packs.apply(pack=pack, services=["web", "api", "web"], today=NOW.date(), actor=None, owner=owner)
    again = packs.apply(pack=pack, services=["api"], today=NOW.date(), actor=None)

    assert (len(first.made), first.known, len(again.made), again.known) == (12, 0, 0, 6)
    items = ChecklistItem.objects.filter(target="api")
    assert {one.verifier for one in items} == {
        *("gateway.backoff", "gateway.attempt_limit", "logs.retry_level"),
        *("docker.limits", "proxy.upgrade", "alert.armed"),
    }
    assert {one.owner for one in items} == {owner}
    assert {one.incident for one in items} == {None}
    with pytest.raises(ValueError, match="at most"):
        packs.apply(pack=pack, services=[f"s{n}" for n in range(201)], today=NOW.date(), actor=None)


def test_who_moved_a_measure_and_why_is_in_the_audit(
    item: ChecklistItem, verdicts: list[Verdict], django_user_model, redis_client
) -> None:
    kim = django_user_model.objects.create_user("kim")
    before = AuditEntry.objects.count()
    given: dict[str, Any] = {"item": item, "at": NOW, "actor": kim}
    checklist.claim(**given)
    look(verdicts, after(1), PASS)
    item.refresh_from_db()
    checklist.waive(**given, reason="교체 예정", until=NOW.date() + timedelta(days=3))
    checklist.reopen(**given)
    checklist.assign(**given, owner=kim)
    checklist.verify_now(items=[item], at=NOW, actor=kim)
    checklist.remove(**given)

    told = [(row.action, row.actor_name, row.reason) for row in AuditEntry.objects.order_by("seq")[before:]]
    assert told == [
        ("item.claim", "kim", ""),
        ("item.verified", "", "x"),
        ("item.waive", "kim", "교체 예정"),
        ("item.reopen", "kim", ""),
        ("item.assign", "kim", ""),
        ("item.verify", "kim", ""),
        ("item.delete", "kim", ""),
    ]


def test_what_was_seen_of_another_target_does_not_verify_an_item_that_was_edited_meanwhile(
    item: ChecklistItem,
) -> None:
    ChecklistItem.objects.update(target="another")
    run = checklist.record_run(item=item, verdict=Verdict(PASS, "x", "a look"), now=NOW)
    item.refresh_from_db()
    assert (run.outcome, item.state, item.known_at) == (UNKNOWN, ItemState.OPEN, None)
