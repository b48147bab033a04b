"""Frozen copies: masked, bounded, checksummed, and read back only while nobody changed them."""

from __future__ import annotations

import base64
import hashlib
import json
import time
import zlib
from datetime import timedelta

import pytest
from django.utils import timezone

from incidents import evidence, registry, services, tasks
from incidents.models import Evidence, EvidenceKind, Report, TimelineKind
from incidents.redaction import redact
from incidents.registry import Captured
from incidents.reports.drafting import draft_report
from tests.incidents.conftest import FINGERPRINT, NOW, after, fire
from tests.incidents.measured import METRICS, freeze

pytestmark = pytest.mark.django_db


@pytest.fixture
def incident():
    return fire().incident


def bundle(kind=EvidenceKind.LOGS, subject="api-gateway", **data):
    return Captured(kind=kind, subject=subject, data=data)


def keep(incident, **data):
    return evidence.keep(incident=incident, bundle=bundle(**data), at=NOW)


@pytest.fixture
def collectors(monkeypatch):
    """The registry of collectors, empty; what a test adds is forgotten again."""
    monkeypatch.setattr(registry, "_collectors", {})
    return registry._collectors


def test_what_is_kept_reads_back_and_its_checksum_is_over_the_unpacked_json(incident):
    row = keep(incident, tail=["가나다"], n=397)

    raw = zlib.decompress(row.payload)
    assert (row.size, row.sha256) == (len(raw), hashlib.sha256(raw).hexdigest())
    assert evidence.load(Evidence.objects.get()) == {"tail": ["가나다"], "n": 397}
    event = incident.timeline.get(kind=TimelineKind.EVIDENCE)
    assert (event.evidence, event.data["sha256"]) == (row, row.sha256)


@pytest.mark.parametrize(
    "payload",
    [
        zlib.compress(b'{"n":12}'),
        zlib.compress(b'{"n":397}')[:-6],
        b"no zlib",
        zlib.compress(b'{"n":397}' + b" " * 50_000_000),
    ],
    ids=["another number", "cut off", "garbage", "a bomb"],
)
def test_a_changed_payload_is_refused_and_never_reaches_a_report(incident, payload):
    rows = freeze(incident)
    Evidence.objects.filter(pk=rows["metrics"].pk).update(payload=payload)

    with pytest.raises(evidence.EvidenceDamaged, match=f"E{rows['metrics'].pk} "):
        evidence.load(Evidence.objects.get(pk=rows["metrics"].pk))
    report = draft_report(incident=incident, now=after(20))
    assert not report.statusrow_set.exists()


def test_secrets_and_control_characters_are_masked_before_they_are_stored(incident):
    row = keep(
        incident,
        app_key="PSabcdef123456",
        env={"KIWOOM_SECRET_KEY": "hush-hush", "PGPWD": "hush-hush", "PWD": "/srv/app", "EMPTY_SECRET": {}},
        client_secret={"value": "hush-hush", "of": ["hush-hush"]},
        secrets=["hush-hush", {"note": "hush-hush"}],
        tail=[
            "\x1b[31mretry\x1b[0m with Authorization: Bearer abcdefghijkl",
            "redis://user:hush-hush@cache:6379 계좌번호 1234-5678-90",
            "1redis://:hush-hush@cache:6379 x-my_access-token: hush-hush",
            "export MYSQL_PWD=hush-hush PWD=/srv/app passphrase: hush-hush",
        ],
    )
    text = evidence.raw_bytes(row).decode()

    for secret in ("PSabcdef123456", "hush-hush", "abcdefghijkl", "1234-5678", "\\u001b", "\x1b"):
        assert secret not in text
    assert '"retry with Authorization: Bearer ***"' in text
    assert '"PWD":"/srv/app"' in text
    assert '"export MYSQL_PWD=*** PWD=/srv/app passphrase: ***"' in text


def test_a_bundle_is_cut_to_5_mib_with_its_newest_lines_and_says_so(incident):
    lines = [f"{number:06d} {'x' * 240}" for number in range(25_000)]
    row = keep(incident, tail=lines, lines_total=25_000)

    kept = evidence.load(row)
    assert row.size <= evidence.MAX_BYTES
    assert (row.partial, row.note) == (True, "cut to 5 MiB")
    assert kept["tail"][-1] == lines[-1]
    assert kept["lines_total"] == 25_000


HUSH = "hunter2hunter2XYZ"


@pytest.mark.parametrize(
    "given",
    [
        f'Authorization: Digest username="a", response="{HUSH}"',
        f"Authorization: Token {HUSH}",
        rf'{{"body": "{{\"appkey\":\"{HUSH}\",\"secretkey\":\"{HUSH}\"}}"}}',
        rf"\\\"appkey\\\":\\\"{HUSH}\\\"",
        f"appkey:\n  {HUSH}",
        f"Cookie: theme=dark; sid={HUSH}",
        f"\x1b[36mappkey\x1b[0m=\x1b[35m{HUSH}\x1b[0m",
        f"Auth\x00orization: Bearer {HUSH}",
        f"app\u200bkey={HUSH}",
        f"-----BEGIN PRIVATE KEY-----\n{HUSH}\n-----END PRIVATE KEY-----",
        f"postgres://user:{HUSH[:6]}@{HUSH[6:]}@db/0 amqp://user:x/{HUSH}@mq/0",
        f"AWS_SECRET_ACCESS_KEY={HUSH} DB_PASS={HUSH}",
        f'password="correct {HUSH} staple"',
        f"curl -u user:{HUSH} --password {HUSH}",
        {"x-api-key": [HUSH], "headers": [["Authorization", HUSH]]},
    ],
)
def test_a_secret_is_masked_in_whatever_form_it_was_logged(given):
    assert HUSH[6:] not in json.dumps(redact(given))


def test_secrets_in_base64_and_account_numbers_of_other_names_are_masked():
    plain = json.dumps({"appkey": HUSH})
    for text in (
        base64.b64encode(plain.encode()).decode(),
        f"Basic {base64.b64encode(f'user:{HUSH}'.encode()).decode()}",
        'acnt_no":"1234567890"',
        "CANO=12345678",
    ):
        assert text[-12:-4] not in redact(text)


def test_what_only_looks_like_a_secret_stays():
    text = "basic monitoring: http://reg:4873/@scope, run --user 1000:1000, bypass=1, 5 tokens, INC-1"
    assert redact(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *("x" * 100_000, "a-" * 50_000, "a://" * 25_000, "token" * 20_000),
        *("계좌" + " " * 10_000 + "x", "eyJaaaaaa " * 10_000),
    ],
)
def test_masking_a_hostile_line_takes_time_in_proportion_to_its_length(text):
    started = time.process_time()
    assert redact(text) == text
    assert time.process_time() - started < 1


def test_a_collector_that_fails_midway_costs_only_its_rest(incident, collectors):
    def fails(_services, _now):
        yield bundle(subject="first")
        raise OSError("password=hush-hush refused")

    collectors["fails"] = fails
    collectors["works"] = lambda names, now: [bundle(EvidenceKind.METRICS, names[0], at=now.isoformat())]
    kept = evidence.capture(incident=incident, now=NOW)

    assert [row.subject for row in kept] == ["first", "api-gateway"]
    failed = incident.timeline.get(kind=TimelineKind.EVIDENCE, data__collector="fails")
    assert failed.data["error"] == "OSError: password=*** refused"


def test_the_freeze_is_bounded_in_time_and_bundles_and_names_what_it_left_out(incident, collectors):
    clock = iter(range(0, 10_000, 6)).__next__
    collectors["endless"] = lambda _names, _now: iter(lambda: bundle(), None)
    collectors["late"] = lambda _names, _now: [bundle()]
    assert len(evidence.capture(incident=incident, now=NOW, clock=clock)) == 2
    assert len(evidence.capture(incident=incident, now=NOW, clock=lambda: 0)) == evidence.MAX_BUNDLES

    left_out = incident.timeline.filter(kind=TimelineKind.EVIDENCE, data__collector="late")
    assert [row.data["error"] for row in left_out] == ["no time left"] * 2


def test_an_occurrence_is_frozen_once_and_the_next_one_anew(collectors):
    now = timezone.now()
    collectors["metrics"] = lambda _names, _now: [bundle(EvidenceKind.METRICS, **METRICS)]
    incident = fire(at=now - timedelta(seconds=90)).incident
    tasks.freeze(incident.pk)
    tasks.freeze(incident.pk)
    first = incident.evidence.get()
    assert Report.objects.get(incident=incident).drafted_at is not None

    services.clear(fingerprint=FINGERPRINT, key="health|api-gateway", at=now - timedelta(seconds=60))
    services.resolve_green(now=now - timedelta(seconds=30))
    fire(at=now)
    tasks.freeze(incident.pk)
    assert incident.evidence.count() == 2
    assert incident.evidence.get(pk=first.pk).sha256 == first.sha256


def test_opening_asks_a_worker_to_freeze_and_the_sweep_asks_again(
    redis_client, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        incident = fire(at=timezone.now() - timedelta(seconds=31)).incident
        fire("cpu|api-gateway", at=timezone.now())
    assert redis_client.llen("ops") == 1
    tasks.resolve_green()
    assert redis_client.llen("ops") == 2

    message = json.loads(redis_client.lindex("ops", 0))
    assert message["headers"]["task"] == "incidents.freeze"
    assert message["headers"]["argsrepr"] == f"[{incident.pk}]"
    tasks.freeze(incident.pk)
    tasks.resolve_green()
    assert redis_client.llen("ops") == 2


@pytest.mark.parametrize("resolved", [False, True])
def test_a_freeze_that_died_with_its_worker_is_asked_for_again(redis_client, resolved):
    now = timezone.now()
    incident = fire(at=now - timedelta(seconds=100)).incident
    type(incident).objects.update(frozen_at=now - timedelta(seconds=91))
    if resolved:
        services.clear(fingerprint=FINGERPRINT, key="health|api-gateway", at=now - timedelta(seconds=60))
        services.resolve_green(now=now - timedelta(seconds=30))
    tasks.resolve_green()
    assert redis_client.llen("ops") == 1

    tasks.freeze(incident.pk)
    assert Report.objects.get(incident=incident).drafted_at is not None
    type(incident).objects.update(frozen_at=now - timedelta(seconds=91))
    tasks.resolve_green()
    assert redis_client.llen("ops") == 1, "it was drafted"


def test_a_freeze_after_a_report_was_signed_off_is_not_taken_for_a_lost_one(redis_client):
    now = timezone.now()
    incident = fire(at=now - timedelta(seconds=100)).incident
    tasks.freeze(incident.pk)
    asked = redis_client.llen("ops")
    Report.objects.update(signed_at=now, drafted_at=now - timedelta(hours=1))
    type(incident).objects.update(frozen_at=now - timedelta(seconds=91))
    tasks.resolve_green()

    assert redis_client.llen("ops") == asked


def test_a_freeze_that_never_succeeds_is_given_up(redis_client):
    now = timezone.now()
    incident = fire(at=now - timedelta(minutes=11)).incident
    type(incident).objects.update(frozen_at=now - timedelta(minutes=2))
    tasks.resolve_green()

    assert redis_client.llen("ops") == 0
