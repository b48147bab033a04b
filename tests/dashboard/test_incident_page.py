"""The incident page: what may be pressed and why not, clocks, old links, related, changes, files."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from incidents import evidence, services
from incidents.models import (
    AuditEntry,
    Evidence,
    EvidenceKind,
    Incident,
    IncidentSignal,
    Report,
    Severity,
    State,
    TimelineEvent,
    TimelineKind,
)
from incidents.registry import Captured
from portal.monitoring.models import Alert
from tests.dashboard import world

pytestmark = pytest.mark.django_db
NOW = timezone.now()


@pytest.fixture(autouse=True)
def english(settings: Any) -> None:
    settings.LANGUAGE_CODE = "en"


@pytest.fixture
def incident(redis_client: redis.Redis) -> Incident:
    now = timezone.now()
    world.seed_services(now)
    made = world.incident(now)
    IncidentSignal.objects.update(origin=made.fingerprint)
    return made


def signed_in(client: Client, role: str) -> User:
    user = world.person(f"{role}-person", role)
    client.force_login(user)
    return user


def page(client: Client, path: str = "/incidents/7/") -> str:
    answer = client.get(path, headers={"accept-language": "en"})
    assert answer.status_code == 200
    return answer.content.decode()


def press(client: Client, verb: str, **fields: Any) -> list[str]:
    answer = client.post("/incidents/7/act/", {"verb": verb, "reason": "because"} | fields, follow=True)
    return [str(message) for message in answer.context["messages"]]


def again() -> Incident:
    return Incident.objects.get(number=7)


def test_every_move_is_offered_with_what_is_in_its_way(client: Client, incident: Incident) -> None:
    signed_in(client, "operator")
    shown = page(client)
    for verb in ("acknowledge", "mitigate", "resolve", "take", "note"):
        assert f'value="{verb}"' in shown, verb
    assert "1 alerts are still open" in shown
    assert 'value="close"' not in shown

    services.resolve(incident=incident, at=timezone.now(), force=True)
    shown = page(client)
    assert "P0 measure is neither verified nor waived: Docker 리소스 제한 설정" in shown
    assert 'value="reopen"' in shown
    assert press(client, "close") == [
        "P0 measure is neither verified nor waived: Docker 리소스 제한 설정",
    ]
    assert again().state == State.RESOLVED


def test_an_operator_leads_rates_stars_and_reopens(client: Client, incident: Incident) -> None:
    carol = signed_in(client, "operator")
    assert press(client, "take") == []
    assert press(client, "severity", severity="warning") == []
    event = TimelineEvent.objects.filter(incident=incident).first()
    assert event is not None
    assert press(client, "star", event=event.pk, starred="1") == []
    services.resolve(incident=again(), at=timezone.now(), force=True)
    assert press(client, "reopen") == []

    assert (again().lead, again().severity, again().state) == (carol, Severity.WARNING, State.DETECTED)
    assert TimelineEvent.objects.get(pk=event.pk).starred
    assert press(client, "lead", lead="nobody") == ["There is nobody called nobody."]


def test_a_mitigation_is_taken_back_with_a_reason_on_the_page(client: Client, incident: Incident) -> None:
    olga = signed_in(client, "operator")
    assert 'value="unmitigate"' not in page(client)
    assert press(client, "mitigate") == []
    shown = page(client)
    assert 'value="unmitigate"' in shown
    assert 'value="acknowledge"' not in shown
    assert press(client, "unmitigate", reason=" ") == ["Give a reason; it is kept."]
    assert press(client, "unmitigate", reason="still 502") == []
    assert (again().state, again().mitigated_at) == (State.DETECTED, None)
    shown = page(client)
    assert "Mitigated → Detected · still 502" in shown
    assert olga.username in shown


def move(client: Client, verb: str, reason: str = "", token: str | None = None) -> Any:
    headers = {"x-csrftoken": token} if token else None
    given = {"verb": verb, "reason": reason}
    return client.post("/api/v1/incidents/7/moves", given, content_type="application/json", headers=headers)


def test_the_api_moves_with_the_rights_and_guards_of_the_page(client: Client, incident: Incident) -> None:
    assert move(client, "mitigate").status_code == 401
    signed_in(client, "viewer")
    assert move(client, "mitigate").status_code == 403
    signed_in(client, "operator")
    assert move(client, "review").status_code == 403
    assert move(client, "explode").status_code == 422
    assert move(client, "unmitigate", "502").status_code == 409
    assert move(client, "mitigate").json()["state"] == "mitigated"
    assert move(client, "unmitigate").json() == {"detail": "Give a reason; it is kept."}
    back = move(client, "unmitigate", "still 502").json()
    assert (back["state"], back["mitigated_at"]) == ("detected", None)
    assert back["timeline"][0]["data"]["reason"] == "still 502"
    assert AuditEntry.objects.latest("seq").action == "incident.unmitigate"


def test_the_api_asks_for_the_token_that_a_cookie_needs(incident: Incident) -> None:
    strict = Client(enforce_csrf_checks=True)
    signed_in(strict, "operator")
    assert move(strict, "mitigate").status_code == 403
    assert again().state == State.DETECTED
    strict.get("/incidents/7/")
    assert move(strict, "mitigate", token=strict.cookies["csrftoken"].value).status_code == 200


def test_only_an_editor_reviews_and_corrects_the_impact(client: Client, incident: Incident) -> None:
    signed_in(client, "operator")
    for verb in ("review", "impact"):
        assert client.post("/incidents/7/act/", {"verb": verb, "reason": "x"}).status_code == 403
    signed_in(client, "editor")
    began = timezone.localtime(timezone.now() - timedelta(hours=5)).replace(second=0, microsecond=0)
    assert press(client, "impact", started_at=began.strftime("%Y-%m-%dT%H:%M")) == []
    assert again().impact_started_at == began
    assert "date and time" in press(client, "impact", started_at="yesterday")[0]
    assert "future" in press(client, "impact", started_at="2199-01-01T00:00")[0]
    assert "date and time" in press(client, "impact", started_at="0001-01-01T00:00")[0]


def test_reviewed_signs_the_report_off_and_not_by_the_lead(client: Client, incident: Incident) -> None:
    person = signed_in(client, "editor")
    at = timezone.now()
    resolved = {"state": State.RESOLVED, "resolved_at": at, "severity": Severity.CRITICAL}
    Incident.objects.filter(number=7).update(**resolved, lead=person)
    assert "somebody else" in press(client, "review")[0]
    assert again().state == State.RESOLVED

    client.force_login(world.person("second", "editor"))
    assert press(client, "review") == []
    assert (again().state, again().report.locked) == (State.REVIEWED, True)


@pytest.mark.parametrize("number", ["9" * 5000, "9" * 25, "٣"])
def test_an_alert_that_cannot_be_is_none(client: Client, incident: Incident, number: str) -> None:
    signed_in(client, "operator")
    assert press(client, "split", signal=number) == ["Choose at least one alert, and leave at least one."]


def test_the_clocks_say_how_long_nobody_knew(client: Client, incident: Incident) -> None:
    signed_in(client, "viewer")
    shown = page(client)
    assert "Undetected for 3 h 14 m" in shown
    assert "before anybody was told" in shown

    detail = client.get("/api/v1/incidents/7").json()
    assert detail["undetected_s"] == pytest.approx(3 * 3600 + 14 * 60, abs=2)
    assert [step["step"] for step in detail["lost"]] == [
        *("undetected", "unacknowledged", "unmitigated", "unresolved"),
    ]
    assert client.get("/api/v1/incidents/99").status_code == 404


def other(number: int = 8) -> Incident:
    return Incident.objects.create(
        number=number, title="frontend", slug="f", fingerprint="other", services=["frontend"],
        opened_at=timezone.now(),
    )  # fmt: skip


def test_an_old_link_leads_to_the_survivor_and_the_old_page_stays(client: Client, incident: Incident) -> None:
    signed_in(client, "operator")
    other()
    answer = client.post("/incidents/7/act/", {"verb": "merge", "into": "INC-8", "reason": "same"})
    assert answer.headers["Location"] == "/incidents/8/"
    assert Alert.objects.get().incident_number == 8

    answer = client.get("/incidents/7/", follow=True)
    assert answer.redirect_chain == [("/incidents/8/", 302)]
    assert "INC-7 was merged into INC-8" in answer.content.decode()
    assert "merged into this one" in page(client, "/incidents/8/")
    assert "Merged into INC-8" in page(client, "/incidents/7/?own=1")
    assert "There is no such incident" in press(client, "merge", into="nonsense")[0]


def test_chosen_alerts_are_split_off(client: Client, incident: Incident) -> None:
    signed_in(client, "operator")
    cpu = IncidentSignal.objects.create(
        incident=incident, key="cpu", origin=incident.fingerprint, title="CPU 103 %",
        severity=Severity.WARNING, opened_at=timezone.now(),
    )  # fmt: skip
    answer = client.post("/incidents/7/act/", {"verb": "split", "signal": cpu.pk, "reason": "other"})
    assert answer.headers["Location"] == "/incidents/8/"
    assert Incident.objects.get(number=8).split_from == incident
    assert "this one was split from it" in page(client, "/incidents/8/")
    assert "still open" not in press(client, "split", reason="x")[0], "nothing was chosen"


def frozen(incident: Incident) -> Evidence:
    bundle = Captured(kind=EvidenceKind.LOGS, subject="api-gateway", data={"tail": ["한 줄"]})
    return evidence.keep(incident=incident, bundle=bundle, at=timezone.now())


def test_an_editor_downloads_one_file_and_all_of_them_and_the_timeline_says_so(
    client: Client, incident: Incident
) -> None:
    alice = signed_in(client, "editor")
    row = frozen(incident)
    assert f"/incidents/7/evidence/{row.pk}/" in page(client)

    answer = client.get(f"/incidents/7/evidence/{row.pk}/")
    assert hashlib.sha256(answer.content).hexdigest() == row.sha256 == answer.headers["X-Content-SHA256"]
    assert json.loads(answer.content) == {"tail": ["한 줄"]}
    answer = client.get("/incidents/7/evidence.zip")
    archive = zipfile.ZipFile(io.BytesIO(answer.getvalue()))
    assert json.loads(archive.read("manifest.json"))["damaged"], (
        "the world's own evidence has a made-up checksum"
    )
    told = TimelineEvent.objects.filter(kind=TimelineKind.DOWNLOAD)
    assert [(one.actor, one.data["file"]) for one in told] == [
        (alice, f"INC-7-E{row.pk}-logs.json"),
        (alice, "INC-7-evidence.zip"),
    ]


def test_damaged_evidence_is_not_sent_and_others_may_not_download(client: Client, incident: Incident) -> None:
    row = frozen(incident)
    for role in ("viewer", "operator"):
        signed_in(client, role)
        assert "evidence.zip" not in page(client)
        for path in (f"/incidents/7/evidence/{row.pk}/", "/incidents/7/evidence.zip"):
            assert client.get(path).status_code == 403, path
    signed_in(client, "editor")
    Evidence.objects.filter(pk=row.pk).update(sha256="0" * 64)
    answer = client.get(f"/incidents/7/evidence/{row.pk}/", follow=True)
    assert "does not match its checksum" in answer.content.decode()
    assert client.get(f"/incidents/8/evidence/{row.pk}/").status_code == 404


def test_the_page_without_its_report_keeps_to_its_queries(
    client: Client, incident: Incident, django_assert_max_num_queries: Any
) -> None:
    signed_in(client, "editor")
    for number in range(20, 40):
        made = other(number=number)
        Incident.objects.filter(pk=made.pk).update(fingerprint=f"f{number}", recurrence_of=incident)
    Report.objects.all().delete()
    with django_assert_max_num_queries(20):
        page(client)
