"""Checklist pages: who may do what, what the forms accept, and what the roll-up shows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import redis
from django.test import Client
from django.utils import timezone
from django.utils.html import escape

from incidents import registry
from incidents.models import ChecklistItem, Incident, ItemPack, ItemState, Outcome, Report, VerificationRun
from portal.monitoring.models import RuntimeKind, Service
from tests.dashboard import world
from tests.dashboard.world import person

pytestmark = pytest.mark.django_db
LIMITS = {
    "text": "Set limits",
    "priority": "P0",
    "verifier": "docker.limits",
    "target": "api-gateway",
    "parameters.docker.limits.cpus": "0.5",
    "parameters.docker.limits.memory": "512m",
}


@pytest.fixture
def item() -> ChecklistItem:
    return ChecklistItem.objects.create(
        text="제한", verifier="docker.limits", target="api-gateway", parameters={"cpus": 1.0}
    )


def signed_in(client: Client, role: str) -> Client:
    client.force_login(person(role, role))
    return client


def act(client: Client, item: ChecklistItem, verb: str, **given: str) -> int:
    return client.post(f"/checklist/{item.pk}/act/", {"verb": verb, **given}).status_code


@pytest.mark.parametrize(
    ("role", "acts", "edits"),
    [("viewer", 403, 403), ("operator", 302, 403), ("editor", 302, 200), ("admin", 302, 200)],
)
def test_operators_work_on_a_measure_and_editors_write_it(
    client: Client, item: ChecklistItem, role: str, acts: int, edits: int, redis_client: redis.Redis
) -> None:
    signed_in(client, role)
    assert client.get(f"/checklist/{item.pk}/").status_code == 200
    assert {act(client, item, verb) for verb in ("claim", "verify", "reopen", "assign")} == {acts}
    pages = ("/checklist/add/", f"/checklist/{item.pk}/edit/", f"/checklist/{item.pk}/delete/")
    assert {client.get(path).status_code for path in pages} == {edits}
    posted = client.post("/checklist/packs/", {"pack": ItemPack.objects.get().pk, "pattern": "*"})
    assert posted.status_code == (403 if edits == 403 else 200)


def test_an_operator_claims_assigns_waives_and_reopens(
    client: Client, item: ChecklistItem, redis_client: redis.Redis
) -> None:
    signed_in(client, "operator")
    tomorrow = (timezone.localdate() + timedelta(days=1)).isoformat()
    states = []
    for verb, given in (
        ("claim", {}),
        ("reopen", {}),
        ("waive", {"reason": "", "until": tomorrow}),
        ("waive", {"reason": "replaced next week", "until": "soon"}),
        ("waive", {"reason": "replaced next week", "until": tomorrow}),
        ("assign", {"owner": "operator"}),
        ("assign", {"owner": "nobody-of-this-name"}),
        ("verify", {}),
        ("explode", {}),
    ):
        assert act(client, item, verb, **given) == 302
        item.refresh_from_db()
        states.append(item.state)

    assert states == ["claimed", "open", "open", "open", *["waived"] * 5]
    assert (item.waiver_reason, str(item.owner)) == ("replaced next week", "operator")
    assert redis_client.llen("ops") == 1


def test_an_editor_adds_a_measure_from_a_form_without_json(client: Client, redis_client: redis.Redis) -> None:
    now = timezone.now()
    world.seed_services(now)
    incident = world.incident(now)
    signed_in(client, "editor")
    page = client.get(f"/checklist/add/?incident={incident.number}").content.decode()
    assert 'name="parameters.docker.limits.memory"' in page
    assert '<option value="api-gateway">' in page
    answer = client.post(f"/checklist/add/?incident={incident.number}", LIMITS)

    made = ChecklistItem.objects.get(text="Set limits")
    assert answer.headers["Location"] == f"/checklist/{made.pk}/"
    assert made.incident == incident
    assert made.parameters == {"cpus": 0.5, "memory": "512m"}
    assert made.due == timezone.localdate() + timedelta(days=3)


@pytest.mark.parametrize(
    "change",
    [
        {"parameters.docker.limits.cpus": "many"},
        {"parameters.docker.limits.cpus": "0"},
        {"parameters.docker.limits.cpus": ""},
        {"parameters.docker.limits.memory": "two gigs"},
        {"verifier": "alert.armed"},
        {"verifier": "alert.armed", "parameters.alert.armed.kinds": "weather"},
        {"verifier": "no.such"},
        {"text": ""},
    ],
)
def test_a_form_with_a_wrong_value_says_so_and_keeps_what_was_typed(
    client: Client, change: dict[str, str]
) -> None:
    signed_in(client, "editor")
    answer = client.post("/checklist/add/", LIMITS | change)
    assert answer.status_code == 422
    assert b'class="p-error"' in answer.content
    assert ("Set limits" in answer.content.decode()) == ("text" not in change)
    assert not ChecklistItem.objects.exists()


def test_another_parameter_opens_a_verified_measure_again_and_another_text_does_not(
    client: Client, item: ChecklistItem, redis_client: redis.Redis
) -> None:
    signed_in(client, "editor")
    states = []
    for change in ({"text": "x"}, {"parameters.docker.limits.cpus": "0.25"}):
        ChecklistItem.objects.update(state=ItemState.VERIFIED, parameters={"cpus": 0.5, "memory": "512m"})
        client.post(f"/checklist/{item.pk}/edit/", LIMITS | change)
        item.refresh_from_db()
        states.append(item.state)
    assert states == [ItemState.VERIFIED, ItemState.OPEN]
    assert item.parameters == {"cpus": 0.25, "memory": "512m"}


def test_a_deleted_measure_stays_in_its_history(client: Client, item: ChecklistItem) -> None:
    signed_in(client, "editor")
    client.post(f"/checklist/{item.pk}/delete/")
    assert not ChecklistItem.objects.exists()
    assert ChecklistItem.history.filter(history_type="-").count() == 1


def test_the_page_of_a_measure_shows_runs_and_what_broke_it_and_escapes_it(
    client: Client, item: ChecklistItem, django_assert_max_num_queries: Any
) -> None:
    evil = "<script>alert(1)</script>"
    VerificationRun.objects.create(
        item=item, at=timezone.now(), outcome=Outcome.FAIL, observed=evil, method="docker inspect"
    )
    change = {
        "what": "limits.memory_bytes",
        "before": "2147483648",
        "after": "",
        "at": "2026-11-25T00:00:00Z",
    }
    item.difference = {"before": "2 GiB", "after": evil, "since": "", "changes": [change]}
    item.save()
    signed_in(client, "operator")
    with django_assert_max_num_queries(12):
        page = client.get(f"/checklist/{item.pk}/").content.decode()
    assert "limits.memory_bytes" in page
    assert evil not in page
    assert "&lt;script&gt;" in page


def test_every_verifier_is_chosen_from_the_form_and_says_when_it_passes(client: Client) -> None:
    named = {
        *("docker.limits", "docker.log_options", "docker.health_check", "gateway.backoff"),
        *("gateway.attempt_limit", "logs.retry_level", "proxy.upgrade", "probe.green", "alert.armed"),
        *("gateway.drill", "posture.container", "posture.rule", "posture.channel"),
    }
    signed_in(client, "editor")
    page = client.get("/checklist/add/").content.decode()
    for name in named | set(registry.verifiers()):
        verifier = registry.verifiers()[name]
        assert f'<option value="{name}">' in page
        assert escape(str(verifier.help)) in page, name
        assert all(f'name="parameters.{name}.{one.name}"' in page for one in verifier.parameters)


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", {"old", "new", "mine", "done"}),
        ("state=waiting", {"old", "new", "mine"}),
        ("state=verified", {"done"}),
        ("service=web", {"new"}),
        ("owner=kim", {"mine"}),
        ("owner=-&state=waiting", {"old", "new"}),
        ("priority=P0", {"old"}),
        ("q=ol", {"old"}),
        ("age=90", {"old"}),
        ("age=0&state=waiting", {"new", "mine"}),
        ("age=7", set()),
        ("age=-1", {"old", "new", "mine", "done"}),
        ("service=-", {"done"}),
        ("state=nonsense", {"old", "new", "mine", "done"}),
    ],
)
def test_the_roll_up_is_filtered(
    client: Client, query: str, shown: set[str], django_assert_max_num_queries: Any
) -> None:
    kim = person("kim", "viewer")
    now = timezone.now()
    worlds: dict[str, dict[str, Any]] = {
        "new": {"target": "web"},
        "old": {"added_at": now - timedelta(days=90), "priority": "P0"},
        "mine": {"owner": kim},
        "done": {"state": ItemState.VERIFIED, "target": ""},
    }
    for text, given in worlds.items():
        ChecklistItem.objects.create(**{"text": text, "target": "api"} | given)
    client.force_login(kim)
    with django_assert_max_num_queries(12):
        answer = client.get(f"/checklist/?{query}")
    rows = answer.context["items"]
    assert {row.text for row in rows} == shown
    if not query:
        assert [row.text for row in rows] == ["old", "new", "mine", "done"]
        oldest = next(one for one in answer.context["by_service"] if one.key == "api")
        assert (oldest.waiting, oldest.since) == (2, rows[0].added_at)
        assert [(one.key, one.waiting) for one in answer.context["by_age"]] == [("90", 1), ("0", 2)]


def test_a_pack_is_shown_for_a_label_before_it_is_applied(client: Client, redis_client: redis.Redis) -> None:
    for name, labels in (("web", {"team": "trading"}), ("api", {"team": "trading"}), ("db", {"team": "x"})):
        Service.objects.create(
            runtime=RuntimeKind.DOCKER, name=name, labels=labels, discovered_at=timezone.now()
        )
    signed_in(client, "editor")
    asked: dict[str, Any] = {"pack": ItemPack.objects.get().pk, "label": "team=trading", "pattern": ""}
    shown = client.get("/checklist/packs/", asked)
    assert shown.context["services"] == ["api", "web"]
    assert not ChecklistItem.objects.exists()

    client.post("/checklist/packs/", asked)
    client.post("/checklist/packs/", asked)
    assert ChecklistItem.objects.filter(target="web").count() == 6
    assert ChecklistItem.objects.count() == 12


def test_an_incident_s_page_leads_to_its_measures(client: Client) -> None:
    now = timezone.now()
    world.seed_services(now)
    incident: Incident = world.incident(now)
    first = Report.objects.get(incident=incident).checklist.all()[0]
    signed_in(client, "viewer")
    page = client.get(f"/incidents/{incident.number}/").content.decode()
    assert f'href="/checklist/{first.pk}/"' in page
    assert "/checklist/add/" not in page
