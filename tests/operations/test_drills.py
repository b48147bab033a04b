"""Drills as rows: one at a time, abortable, settled when their process is gone, evidence of the checklist."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from gateway.config import RetryConfig
from gateway.drills.plan import Measured
from incidents.checklist import verify_items
from incidents.models import (
    AuditEntry,
    ChecklistItem,
    Incident,
    ItemState,
    Outcome,
    TimelineEvent,
    VerificationRun,
)
from incidents.registry import verifiers
from incidents.reports.importing import import_text
from portal.monitoring import gateway, policies
from portal.operations import drill_compare, drill_play, drills
from portal.operations.drill_verifiers import newest
from portal.operations.models import DrillRun, DrillState
from tests.conditions import wait_until
from tests.databases import NAME, migrated
from tests.gateway.test_drill_plan import GOOD, tries
from tests.operations.test_retry_verifiers import told

pytestmark = pytest.mark.django_db
STORM = {"drill": "retry-storm", "days": 30}
BAD = replace(GOOD, tries=tries(0.0, 0.0, 0.0, 30.0))


def ordered(**values: object) -> DrillRun:
    """Order a retry storm."""
    given = {"drill": "retry-storm", "reason": "a test", "now": timezone.now(), "by": None} | values
    return drills.start(**given)  # type: ignore[arg-type]


def played(measured: Measured = GOOD, **values: object) -> DrillRun:
    """Order and finish one with these figures."""
    run = ordered(**values)
    claimed = drills.claim(run.pk, timezone.now())
    assert claimed is not None
    return drills.finish(claimed, measured, timezone.now())


@pytest.fixture
def seed(seed_report: Path) -> Incident:
    import_text(text=seed_report.read_text(), name=seed_report.name, now=timezone.now())
    return Incident.objects.get()


def test_one_drill_at_a_time() -> None:
    first = ordered()
    with pytest.raises(drills.DrillRefused):
        ordered()
    with pytest.raises(IntegrityError), transaction.atomic():
        DrillRun.objects.create(drill="mute", started_at=timezone.now(), reason="past the services")
    drills.ask_abort(first, now=timezone.now(), by=None)
    ordered()


@pytest.mark.parametrize("wrong", [{"drill": "rm -rf"}, {"reason": "  "}])
def test_a_drill_needs_a_name_and_a_reason(wrong: dict[str, str]) -> None:
    with pytest.raises(drills.DrillRefused):
        ordered(**wrong)
    assert not DrillRun.objects.exists()


def test_an_order_is_taken_once_and_an_aborted_one_not_at_all() -> None:
    run = ordered()
    assert drills.claim(run.pk, timezone.now()) is not None
    assert drills.claim(run.pk, timezone.now()) is None
    assert drills.beat(run.pk, GOOD, timezone.now())
    assert drills.ask_abort(run, now=timezone.now(), by=User.objects.create_user("olga"))
    assert not drills.ask_abort(run, now=timezone.now(), by=None), "asked already"
    assert not drills.beat(run.pk, GOOD, timezone.now()), "its player is told to end"
    drills.give_up(run, DrillState.ABORTED, timezone.now(), "")
    run.refresh_from_db()
    assert (run.state, run.aborted_by) == (DrillState.ABORTED, "olga")
    audited = AuditEntry.objects.filter(action__startswith="drill.").values_list("action", "actor_name")
    assert sorted(audited) == [("drill.abort", "olga"), ("drill.aborted", ""), ("drill.requested", "")]

    waiting = ordered()
    drills.ask_abort(waiting, now=timezone.now(), by=None)
    assert drills.claim(waiting.pk, timezone.now()) is None


@pytest.mark.parametrize("taken", [False, True])
def test_a_drill_that_nobody_plays_any_more_ends_and_says_nothing(taken: bool) -> None:
    run = ordered()
    if taken:
        drills.claim(run.pk, timezone.now())
    assert drills.settle(now=timezone.now() + timedelta(seconds=20)) == 0
    assert drills.settle(now=timezone.now() + timedelta(seconds=70)) == 1
    run.refresh_from_db()
    assert run.state == DrillState.BROKEN
    assert newest("", STORM).outcome is Outcome.UNKNOWN


def test_the_newest_drill_decides() -> None:
    assert newest("", STORM).outcome is Outcome.UNKNOWN
    played()
    assert newest("", STORM).outcome is Outcome.PASS
    run = played(BAD)
    verdict = newest("", STORM)
    assert verdict.outcome is Outcome.FAIL
    assert str(run.pk) in verdict.observed
    assert "0" in verdict.observed
    drills.ask_abort(ordered(), now=timezone.now(), by=None)
    assert newest("", STORM).outcome is Outcome.FAIL, "an aborted one says nothing"
    played()
    DrillRun.objects.update(started_at=timezone.now() - timedelta(days=31))
    assert newest("", STORM).outcome is Outcome.UNKNOWN, "too old"
    for wrong in ({"drill": "flood", "days": 1}, {"drill": "mute", "days": "many"}, {}):
        assert newest("", wrong).outcome is Outcome.UNKNOWN
    assert "gateway.drill" in verifiers()


def test_a_failed_drill_opens_the_items_again_that_it_had_verified(seed: Incident) -> None:
    items = list(ChecklistItem.objects.filter(report__incident=seed).order_by("order", "pk")[:3])
    for item in items:
        item.verifier, item.parameters = "gateway.drill", STORM
        item.save()

    def states() -> set[str]:
        return set(ChecklistItem.objects.filter(pk__in=[i.pk for i in items]).values_list("state", flat=True))

    run = played(incident=seed)
    assert run.state == DrillState.PASSED
    assert states() == {ItemState.VERIFIED}
    assert "220,000" in VerificationRun.objects.filter(item=items[0])[0].observed

    run = played(BAD, incident=seed)
    assert (run.state, states()) == (DrillState.FAILED, {ItemState.VERIFIED})
    verify_items(items=ChecklistItem.objects.filter(pk__in=[i.pk for i in items]), now=timezone.now())
    assert states() == {ItemState.FAILING}, "two failing looks"

    played(incident=seed)
    assert states() == {ItemState.VERIFIED}
    told = [event.data["outcome"] for event in TimelineEvent.objects.filter(incident=seed, kind="action")]
    assert told == ["requested", "passed", "requested", "not_passed", "requested", "passed"]


def first_three(incident: Incident) -> list[ChecklistItem]:
    """The seed's items on retries, as they are now."""
    return list(ChecklistItem.objects.filter(report__incident=incident).order_by("order", "pk")[:3])


def states(incident: Incident) -> list[str]:
    """Their states."""
    return [item.state for item in first_three(incident)]


@pytest.mark.parametrize("compared", [True, False], ids=["compared with the incident", "by hand"])
def test_a_retry_storm_is_evidence_beside_the_checks_of_the_imported_items(
    seed: Incident, redis_client: redis.Redis, compared: bool
) -> None:
    incident = seed if compared else None
    named = ["gateway.backoff", "gateway.attempt_limit", "logs.retry_level"]
    assert [item.verifier for item in first_three(seed)] == named
    played(incident=incident)  # no gateway runs here: what the drill shows is all there is
    assert states(seed) == [ItemState.VERIFIED] * 3
    assert "200" in first_three(seed)[1].observed, "each tells its own part"
    again = verify_items(items=first_three(seed), now=timezone.now())
    assert [run.outcome for run in again] == [Outcome.UNKNOWN] * 3, "the same pass again is no news"

    told(redis_client)
    run = played(BAD, incident=incident)
    assert states(seed) == [ItemState.VERIFIED] * 3
    verify_items(items=first_three(seed), now=timezone.now())
    assert states(seed) == [ItemState.FAILING] * 3, "the settings are right, and yet it would hurt again"
    for item in first_three(seed):
        assert f"{run.pk}," in item.observed
        assert "0.4" in item.observed, "the wait that was not kept"

    mute = replace(GOOD, drill="mute", told={"stale": 90.0}, tries=())
    played(mute, drill="mute", incident=incident)
    assert states(seed) == [ItemState.FAILING] * 3, "a mute connection shows nothing of retries"
    played(replace(GOOD, told_s=9.0), incident=incident)
    assert states(seed)[:2] == [ItemState.VERIFIED] * 2, "their own checks pass, and it shows nothing against"
    played(incident=incident)
    assert states(seed) == [ItemState.VERIFIED] * 3


def test_the_setting_that_made_a_drill_fail_is_named(seed: Incident, redis_client: redis.Redis) -> None:
    began = timezone.now() - timedelta(minutes=5)
    for minutes, base in ((0, 1.0), (1, 1.0), (2, 1.0), (4, 0.0)):
        told(redis_client, RetryConfig(base=base))
        gateway.samples(began + timedelta(minutes=minutes))
        if minutes == 1:
            DrillRun.objects.filter(pk=played().pk).update(ended_at=began)
            VerificationRun.objects.update(at=began + timedelta(minutes=1))
    played(BAD)
    verify_items(items=first_three(seed), now=timezone.now())
    for item in first_three(seed):
        (change,) = item.difference["changes"]
        assert change["what"] == "key-1 GATEWAY_RETRY_BASE"
        assert (change["before"], change["after"]) == ("1.0", "0.0")
    assert len(policies.read("key-1")) == 2, "the same settings again are no change"


def test_a_drill_says_nothing_of_another_service_s_log(seed: Incident) -> None:
    other = ChecklistItem.objects.create(text="its log", verifier="logs.retry_level", target="orders")
    played(BAD, incident=seed)
    other.refresh_from_db()
    assert (other.failures, other.checked_at) == (0, None)


def test_the_seeds_own_numbers_are_compared(seed: Incident) -> None:
    frozen = drill_compare.frozen_numbers(seed)
    assert (frozen["lines"], frozen["cpu_percent"]) == (220_000, 102.8)
    assert round(frozen["memory"] / 2**30, 2) == 10.23
    words = drill_compare.sentence(seed.number, frozen, GOOD)
    assert "220,000" in words
    assert "102.8" in words


def test_nothing_of_the_real_server_reaches_the_session_under_drill() -> None:
    own = {
        "KIWOOM_APP_KEY": "real-key",
        "KIWOOM_SECRET_KEY_FILE": "/run/secrets/kiwoom",
        "KIWOOM_MODE": "real",
        "AUDIT_KEY": "real",
        "DATABASE_URL": "postgres://real",
        "NOTIFY_URLS": "slack://real",
        "GATEWAY_RETRY_BASE": "2",
        "PATH": "/bin",
    }
    given = drill_play.environment(own)
    assert not any("real" in value or "secrets" in value for value in given.values())
    assert (given["KIWOOM_MODE"], given["GATEWAY_RETRY_BASE"]) == ("simulator", "2")


def test_old_drills_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drills, "KEPT", 2)
    for _number in range(4):
        played()
    assert DrillRun.objects.count() <= 3


@pytest.mark.slow
def test_a_drill_by_hand_plays_and_leaves_nothing_of_the_gateway_behind(
    redis_client: redis.Redis, tmp_path: Path
) -> None:
    environment = os.environ | {"DATA_DIR": str(tmp_path), "GATEWAY_RETRY_BASE": "0.1"}
    environment.pop("DATABASE_URL", None)

    def manage(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "manage.py", *words],
            cwd=settings.BASE_DIR,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    migrated(tmp_path / NAME)
    process = subprocess.Popen(
        [sys.executable, "manage.py", "drill", "bad-token", "--json"],
        cwd=settings.BASE_DIR,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    channel = redis_client.pubsub()
    channel.psubscribe("*")
    try:
        wait_until(lambda: (found := channel.get_message()) and found["type"] == "pmessage", 60, "it tells")
        assert redis_client.keys() == [], "no lease, no status, no slot"
        process.terminate()
        output = json.loads(process.communicate(timeout=60)[0])
    finally:
        process.kill()
        channel.close()
    assert output["state"] == "aborted"
    assert process.returncode != 0
    assert redis_client.keys() == []
