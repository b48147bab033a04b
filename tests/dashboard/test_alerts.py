"""The alerts page: how each alert stands, and what an operator does about it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from incidents.models import Incident, State
from portal.dashboard.alerts import context
from portal.monitoring.models import Alert, Held, Rule, RunState, Service, ServiceState, Silence
from tests.dashboard import world

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client")]


def alert(name: str, **changes: object) -> Alert:
    """An open alert on a running, freshly measured service."""
    now = timezone.now()
    service = Service.objects.filter(name=name).first() or world.service(name, now)
    given: dict[str, object] = {
        "rule": Rule.objects.get(name="cpu-sustained"),
        "subject": f"docker:{name}",
        "name": name,
        "service": service,
        "severity": "critical",
        "text": f"{name} <b>burns</b>",
        "since": now,
        "opened_at": now,
    }
    return Alert.objects.create(**(given | changes))


def words() -> dict[str, str]:
    """How each alert stands, by service."""
    return {row.alert.name: row.word for row in context()["rows"]}


@pytest.fixture
def operator(client: Client) -> Client:
    """Somebody who may act."""
    client.force_login(world.person("carol", "operator"))
    return client


def test_each_alert_says_what_keeps_it_quiet_or_unknown(client: Client, settings) -> None:
    settings.LANGUAGE_CODE = "en"
    now = timezone.now()
    root = world.service("db", now)
    alert("plain")
    alert("child", suppressed_by=root)
    alert("held", held=Held.SILENCE, held_reason="deploy of 3.2")
    alert("window", held=Held.MAINTENANCE)
    alert("flips", flapping_since=now)
    alert("taken", acknowledged_at=now, acknowledged_reason="on it")
    alert("old")
    ServiceState.objects.filter(service__name="old").update(at=now - timedelta(minutes=3))
    alert("lost")
    ServiceState.objects.filter(service__name="lost").update(state=RunState.UNKNOWN, error="no Engine")
    client.force_login(world.person("alice", "viewer"))
    client.cookies.load({"django_language": "en"})

    page = client.get("/alerts/").content.decode()
    stands = {row.alert.name: row.word for row in client.get("/alerts/").context["rows"]}
    assert stands == {
        "plain": "Critical", "child": "Suppressed", "held": "Silenced", "window": "Maintenance",
        "flips": "Flapping", "taken": "Acknowledged", "old": "Unknown", "lost": "Unknown",
    }  # fmt: skip
    assert "suppressed by db" in page
    assert "deploy of 3.2" in page
    assert "no Engine" in page
    assert "&lt;b&gt;burns" in page
    assert "<b>burns" not in page


def test_the_page_needs_as_many_queries_for_one_alert_as_for_thirty() -> None:
    alert("web-0")
    with CaptureQueriesContext(connection) as few:
        context()
    for number in range(1, 30):
        alert(f"web-{number}")
    with CaptureQueriesContext(connection) as many:
        context()
    assert len(many) == len(few) <= 6


def test_an_operator_acknowledges_with_a_reason(operator: Client) -> None:
    world.incident(timezone.now())
    one = alert("api", incident_number=7)
    operator.post(f"/alerts/{one.pk}/", {"verb": "acknowledge", "reason": "  "})
    one.refresh_from_db()
    assert one.acknowledged_at is None

    operator.post(f"/alerts/{one.pk}/", {"verb": "acknowledge", "reason": "looking"})
    one.refresh_from_db()
    assert one.acknowledged_by is not None
    assert (one.acknowledged_by.get_username(), one.acknowledged_reason) == ("carol", "looking")
    assert Incident.objects.get(number=7).state == State.ACKNOWLEDGED


@pytest.mark.parametrize(("scope", "rules"), [("rule", "cpu-sustained"), ("service", "*")])
def test_an_operator_silences_for_a_bounded_time_and_who_did_it_is_kept(
    operator: Client, scope: str, rules: str
) -> None:
    one = alert("api[1]")
    for hours in ("", "9999", "0"):
        operator.post(f"/alerts/{one.pk}/", {"verb": "silence", "reason": "x", "hours": hours})
    assert not Silence.objects.exists()

    operator.post(f"/alerts/{one.pk}/", {"verb": "silence", "reason": "deploy", "hours": "4", "scope": scope})
    row = Silence.objects.get()
    assert (row.service_pattern, row.rule_pattern, row.reason) == ("api[[]1]", rules, "deploy")
    assert row.until - row.starts_at == timedelta(hours=4)
    assert row.created_by is not None
    kept = Silence.history.get()
    assert (kept.history_type, kept.history_user) == ("+", row.created_by)


def test_a_viewer_sees_no_button_and_may_not_act(client: Client) -> None:
    one = alert("api")
    client.force_login(world.person("alice", "viewer"))
    assert b'name="verb"' not in client.get(f"/alerts/{one.pk}/").content
    assert client.post(f"/alerts/{one.pk}/", {"verb": "acknowledge", "reason": "x"}).status_code == 403
    assert client.get("/alerts/999/").status_code == 404


def test_a_rule_shows_its_dry_run_to_a_viewer(client: Client) -> None:
    client.force_login(world.person("alice", "viewer"))
    rule = Rule.objects.get(name="cpu-sustained")
    assert rule.name in client.get("/rules/").content.decode()
    answer = client.get(f"/rules/{rule.pk}/")
    assert answer.context["result"].supported
    assert not client.get(f"/rules/{Rule.objects.get(kind='gateway').pk}/").context["result"].supported
