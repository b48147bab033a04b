"""Actions from the pages: the question, who may press, and that everything pressed is audited."""

from __future__ import annotations

import pytest
import redis
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from incidents.models import AuditEntry, Incident
from portal.monitoring.models import Alert, Rule, Service
from portal.operations.models import ActionState, OperatorAction
from tests.dashboard import world

pytestmark = pytest.mark.django_db
SLOT = settings.GATEWAY_UPSTREAM.keys[0].slot


@pytest.fixture
def service(redis_client: redis.Redis) -> Service:
    """The seed's gateway, which allows actions, with its incident INC-7 and a frontend that needs it."""
    now = timezone.now()
    world.seed_services(now)
    world.incident(now)
    world.publish(redis_client)
    Incident.objects.update(services=["api-gateway", SLOT])
    found = Service.objects.get(name="api-gateway")
    found.labels = {"bonghwa.actions": "restart,stop"}
    found.save()
    needs = Service.objects.exclude(pk=found.pk)[0]
    needs.labels = {"bonghwa.depends-on": "api-gateway"}
    needs.save()
    return found


def url(service: Service, verb: str = "restart") -> str:
    return reverse("service-act", args=[service.pk, verb]) + "?incident=7"


@pytest.fixture
def olga(client: Client) -> Client:
    client.force_login(world.person("olga", "operator"))
    return client


def test_a_viewer_cannot_and_sees_no_button(client: Client, service: Service) -> None:
    client.force_login(world.person("alice", "viewer"))
    for page in ("/incidents/7/", f"/services/{service.pk}/"):
        assert "/act/restart/" not in client.get(page).text
    assert client.get(url(service)).status_code == 403
    assert client.post(url(service), {"reason": "x"}).status_code == 403
    assert not OperatorAction.objects.exists()


def test_the_question_shows_whom_it_touches_and_the_answer_is_a_wish(
    olga: Client, service: Service, django_assert_max_num_queries
) -> None:
    for page in ("/incidents/7/", f"/services/{service.pk}/"):
        assert f"/services/{service.pk}/act/restart/" in olga.get(page).text
        assert f"/services/{service.pk}/act/start/" not in olga.get(page).text
    with django_assert_max_num_queries(12):
        asked = olga.get(url(service))
    (needs,) = Service.objects.exclude(labels={}).exclude(pk=service.pk)
    assert needs.name in asked.text
    assert "INC-7" in asked.text

    answer = olga.post(url(service), {"reason": "unhealthy for hours"})

    assert answer.headers["Location"] == "/incidents/7/"
    action = OperatorAction.objects.get()
    assert (action.state, action.username, action.incident) == (
        ActionState.REQUESTED,
        "olga",
        Incident.objects.get(),
    )
    for page in ("/incidents/7/", f"/services/{service.pk}/"):
        assert "unhealthy for hours" in olga.get(page).text
    second = olga.post(url(service), {"reason": "again"}, follow=True)
    assert "olga" in str(next(iter(second.context["messages"])))


def test_an_unknown_verb_and_a_foreign_incident_lead_nowhere(olga: Client, service: Service) -> None:
    assert olga.get(f"/services/{service.pk}/act/exec/").status_code == 404
    Incident.objects.update(services=["another"])
    olga.post(url(service, "stop"), {"reason": "x"})
    assert OperatorAction.objects.get().incident is None


def test_the_gateways_commands_are_on_its_incidents_page_and_its_timeline(
    olga: Client, service: Service
) -> None:
    page = olga.get("/incidents/7/").text
    assert f'action="/gateway/{SLOT}/"' in page
    given = {"verb": "resume", "reason": "upstream is back", "incident": "7"}
    assert olga.post(f"/gateway/{SLOT}/", given).headers["Location"] == "/incidents/7/"
    assert "upstream is back" in olga.get("/incidents/7/").text
    entry = AuditEntry.objects.get(action="gateway.resume")
    assert (entry.actor_name, entry.target, entry.reason) == ("olga", SLOT, "upstream is back")
    Incident.objects.update(services=["api-gateway"])
    assert f'action="/gateway/{SLOT}/"' not in olga.get("/incidents/7/").text


def test_what_is_pressed_elsewhere_is_audited_too(
    olga: Client, service: Service, django_capture_on_commit_callbacks
) -> None:
    alert = Alert.objects.create(
        rule=Rule.objects.all()[0], service=service, name=service.name, opened_at=timezone.now()
    )
    with django_capture_on_commit_callbacks(execute=True):
        olga.post(f"/alerts/{alert.pk}/", {"verb": "acknowledge", "reason": "mine"})
        silenced = {"verb": "silence", "reason": "noise", "hours": "1", "scope": "service"}
        olga.post(f"/alerts/{alert.pk}/", silenced)
        olga.post("/incidents/7/act/", {"verb": "note", "reason": "<b>odd</b>"})
        olga.post(f"/services/{service.pk}/tail/")
        olga.post("/watch/self-test/")
    seen = set(AuditEntry.objects.filter(actor_name="olga").values_list("action", "reason"))
    assert seen >= {
        ("alert.acknowledge", "mine"),
        ("alert.silence", "noise"),
        ("incident.note", "<b>odd</b>"),
        ("log.open", ""),
        ("alarm.self_test", ""),
    }
    assert AuditEntry.objects.get(action="incident.note").target == "INC-7"
