"""Evidence of an end while the incident is open, and of the half hour after; files of all of it."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from incidents import evidence, evidence_files, evidence_more, registry, services, tasks
from incidents.models import Evidence, EvidenceKind, Incident, TimelineKind, Trigger
from incidents.redaction import redact
from incidents.registry import Captured
from incidents.reports.drafting import facts_of
from tests.incidents.conftest import NOW, after, fire
from tests.incidents.measured import METRICS

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


def bundle(kind, subject, **data):
    return Captured(kind=kind, subject=subject, data=data)


def collector_of(kind):
    def collect(names, now):
        return [bundle(kind, name, at=now.isoformat()) for name in names]

    return collect


@pytest.fixture
def sources(monkeypatch):
    """Collectors and followers that yield one small bundle for each service."""
    monkeypatch.setattr(registry, "_collectors", {})
    monkeypatch.setattr(registry, "_followers", {})
    for name, kind in (("metrics", EvidenceKind.METRICS), ("logs", EvidenceKind.LOGS)):
        registry.register_collector(name, collector_of(kind))
    registry.register_follower(
        "metrics",
        lambda names, start, end: [
            bundle(EvidenceKind.AFTER, one, span=[start.isoformat(), end.isoformat()]) for one in names
        ],
    )


@pytest.fixture
def incident(sources):
    """An incident that was frozen as it opened."""
    made = fire().incident
    Incident.objects.update(frozen_at=after(1))
    made.refresh_from_db()
    evidence.capture(incident=made, now=after(1))
    return made


def test_an_end_after_the_freeze_is_captured_once_and_again_after_the_debounce(incident, redis_client):
    died = {"api-gateway": after(60), "frontend": after(60)}
    assert evidence_more.ended(died, after(61)) == [(incident.pk, "api-gateway")]
    assert redis_client.llen("ops") == 1

    (kept,) = evidence_more.freeze_end(incident=incident, name="api-gateway", now=after(62))
    assert (kept.kind, kept.trigger) == (EvidenceKind.LOGS, Trigger.DIE), "metrics are not asked again"
    assert evidence_more.ended(died, after(65)) == []
    assert evidence_more.freeze_end(incident=incident, name="api-gateway", now=after(66)) == []
    later = after(62) + evidence_more.DEBOUNCE + MINUTE
    assert evidence_more.ended({"api-gateway": later}, later) == [(incident.pk, "api-gateway")]


def test_an_end_that_the_freeze_has_seen_is_not_captured_again(incident):
    assert evidence_more.ended({"api-gateway": NOW}, after(10)) == []
    services.resolve(incident=incident, at=after(20), force=True)
    assert evidence_more.ended({"api-gateway": after(30)}, after(31)) == []


def test_a_crash_loop_is_captured_a_bounded_number_of_times(incident):
    for number in range(30):
        now = after(60) + number * (evidence_more.DEBOUNCE + MINUTE)
        evidence_more.freeze_end(incident=incident, name="api-gateway", now=now)
    assert incident.evidence.filter(trigger=Trigger.DIE).count() == evidence_more.ENDS_MAX


def test_who_presses_stop_again_and_again_freezes_a_bounded_number_of_times(incident):
    counts = []
    for number in range(30):
        kept = evidence_more.before_action(incident=incident, now=after(60 + number))
        counts.append(None if kept is None else len(kept))
    assert counts == [2] * evidence_more.ACTIONS_MAX + [None] * (30 - evidence_more.ACTIONS_MAX)
    taken = incident.evidence.filter(trigger=Trigger.ACTION)
    assert taken.count() == 2 * evidence_more.ACTIONS_MAX


def test_an_incident_that_opens_again_for_days_is_frozen_a_bounded_number_of_times(incident, redis_client):
    Evidence.objects.all().delete()
    for number in range(20):
        evidence_more.opening(incident=incident, now=after(60 + 4000 * number))
        Incident.objects.update(reopened_at=after(60 + 4000 * number), followed_at=None)
        evidence_more.append_after(now=after(60 + 4000 * number) + evidence_more.AFTER)
    assert incident.evidence.filter(trigger=Trigger.OPENING).count() == 2 * evidence_more.OPENINGS_MAX
    assert incident.evidence.filter(trigger=Trigger.AFTER).count() == evidence_more.OPENINGS_MAX


def test_the_worker_freezes_the_end(incident, redis_client):
    tasks.freeze_end(incident.pk, "api-gateway")
    assert incident.evidence.filter(trigger=Trigger.DIE).count() == 1


def test_the_half_hour_after_is_appended_once_as_a_second_checksummed_part(incident):
    end = NOW + evidence_more.AFTER
    assert evidence_more.append_after(now=end - MINUTE) == []
    (part,) = evidence_more.append_after(now=end)
    assert evidence_more.append_after(now=end + MINUTE) == []
    assert evidence_more.append_after(now=end + 10 * MINUTE) == []

    first = incident.evidence.get(kind=EvidenceKind.METRICS)
    assert (part.continues, part.trigger, part.subject) == (first, Trigger.AFTER, "api-gateway")
    assert evidence.load(part)["span"] == [NOW.isoformat(), end.isoformat()]
    assert hashlib.sha256(evidence.raw_bytes(part)).hexdigest() == part.sha256


def test_a_second_part_whose_worker_died_is_tried_again_and_given_up_after_hours(incident):
    end = NOW + evidence_more.AFTER
    Incident.objects.update(followed_at=end)
    assert evidence_more.append_after(now=end + MINUTE) == []
    assert len(evidence_more.append_after(now=end + evidence_more.LOST + MINUTE)) == 1
    Evidence.objects.filter(trigger=Trigger.AFTER).delete()
    assert evidence_more.append_after(now=NOW + evidence_more.GIVEN_UP + MINUTE) == []


def test_a_reopened_incident_gets_the_minutes_after_its_reopening(incident):
    evidence_more.append_after(now=NOW + evidence_more.AFTER)
    services.resolve(incident=incident, at=after(3000), force=True)
    fire(at=after(4000))
    Incident.objects.update(frozen_at=after(4001))
    (part,) = evidence_more.append_after(now=after(4000) + evidence_more.AFTER)
    assert evidence.load(part)["span"][0] == after(4000).isoformat()


def test_the_minutes_after_never_become_the_frozen_numbers_of_the_report(incident):
    evidence_more.append_after(now=NOW + evidence_more.AFTER)
    assert {source.kind for source in facts_of(incident, NOW).sources} == {"metrics", "logs", "after"}
    facts = facts_of(incident, NOW)
    assert facts.metrics["at"] == after(1).isoformat()


SECRETS = {
    "authorization header": ("Authorization: Basic dXNlcjpodXNoLWh1c2g=", "dXNlcjpodXNoLWh1c2g="),
    "bearer": ("sent Bearer abcdefghijklmnop upstream", "abcdefghijklmnop"),
    "app key": ('{"appkey": "PSabcdef123456", "n": 1}', "PSabcdef123456"),
    "secret key": ("secretkey=hush-hush-hush&grant_type=x", "hush-hush-hush"),
    "token": ("GET /x?token=tok-123456789 HTTP/1.1", "tok-123456789"),
    "jwt": ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl end", "eyJzdWIiOiIxIn0"),
    "account": ("계좌번호 1234567890 주문", "1234567890"),
    "account with hyphens": ("account 12345678-01 order", "12345678-01"),
}


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_in_a_log_is_gone_before_it_is_stored(incident, name):
    line, secret = SECRETS[name]
    row = evidence.keep(incident=incident, bundle=bundle(EvidenceKind.LOGS, "x", tail=[line]), at=NOW)

    kept = evidence.raw_bytes(row).decode()
    assert secret not in kept
    assert "***" in kept


def test_all_evidence_is_one_archive_with_checksums_that_hold(incident):
    evidence_more.append_after(now=NOW + evidence_more.AFTER)
    file = io.BytesIO()
    evidence_files.write_archive(incident, file)

    archive = zipfile.ZipFile(file)
    manifest = json.loads(archive.read("manifest.json"))
    assert [one["kind"] for one in manifest["evidence"]] == ["metrics", "logs", "after"]
    for one in manifest["evidence"]:
        assert hashlib.sha256(archive.read(one["file"])).hexdigest() == one["sha256"]
    sums = dict(line.split("  ")[::-1] for line in archive.read("SHA256SUMS").decode().splitlines())
    assert sums == {one["file"]: one["sha256"] for one in manifest["evidence"]}


def test_a_damaged_bundle_is_named_in_the_manifest_and_left_out(incident):
    row = incident.evidence.get(kind=EvidenceKind.LOGS)
    Evidence.objects.filter(pk=row.pk).update(sha256="0" * 64)
    file = io.BytesIO()
    manifest = evidence_files.write_archive(incident, file)

    assert manifest.damaged == [f"E{row.pk}"]
    names = zipfile.ZipFile(file).namelist()
    assert len([name for name in names if name.startswith("INC-")]) == 1


def test_a_download_is_on_the_timeline(incident):
    alice = User.objects.create_user("alice")
    evidence_files.note_download(incident=incident, what="x.zip", at=timezone.now(), actor=alice)
    event = incident.timeline.get(kind=TimelineKind.DOWNLOAD)
    assert (event.actor, event.data) == (alice, {"file": "x.zip"})


def test_the_facts_of_the_draft_are_readable_beside_the_second_part(incident):
    row = evidence.keep(
        incident=incident, bundle=bundle(EvidenceKind.METRICS, "api-gateway", **METRICS), at=after(2)
    )
    assert facts_of(incident, NOW).evidence("metrics") == row.pk


def test_two_lines_of_a_log_are_no_header_with_its_value():
    assert redact(["retry with appkey=PSabcdef123456", "last words"]) == [
        "retry with appkey=***",
        "last words",
    ]
    assert redact(["x-app-key", "PSabcdef123456"]) == ["x-app-key", "***"]
