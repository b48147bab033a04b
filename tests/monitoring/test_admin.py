"""The admin of rules, endpoints, services and the schedule: who may save it, and what saving does."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from portal.monitoring import engine
from portal.monitoring.models import Alert, Endpoint, Observation, ProbeKind, Rule, Service
from tests.monitoring.stage import NOW, Stage, failing, firing, incident

pytestmark = pytest.mark.django_db

EDITABLE = ["monitoring_rule", "monitoring_endpoint", "django_celery_beat_periodictask"]
WRITTEN = ["monitoring_alert", "monitoring_rulestate", "monitoring_observation", "monitoring_logtemplate"]


def signed_in(role: str, *, staff: bool = True) -> Client:
    """A client of somebody with one role."""
    user = User.objects.create_user(role or "nobody", is_staff=staff)
    if role:
        user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def admin() -> Client:
    """Somebody with the role ``admin``, no superuser."""
    return signed_in("admin")


def url(model: str, page: str = "changelist", *arguments: int) -> str:
    """Address of an admin page."""
    return reverse(f"admin:{model}_{page}", args=arguments)


def form_of(client: Client, address: str, **changes: Any) -> dict[str, Any]:
    """What a browser would post from the form at ``address`` after ``changes``."""
    context = client.get(address).context
    forms = [context["adminform"].form]
    sent: dict[str, Any] = {}
    for formset in context["inline_admin_formsets"]:
        forms += [formset.formset.management_form, *formset.formset.forms]
    for form in forms:
        for bound in form:
            value = bound.value()
            if value is not None and value is not False:
                sent[bound.html_name] = value
    sent |= {name: value for name, value in changes.items() if value is not None}
    return {name: value for name, value in sent.items() if name not in changes or changes[name] is not None}


def endpoint(**changes: Any) -> Endpoint:
    """An endpoint."""
    given = {"name": "domain", "kind": ProbeKind.HTTP, "url": "http://127.0.0.1:1/"}
    return Endpoint.objects.create(**(given | changes))


@pytest.mark.parametrize("model", EDITABLE)
def test_lists_and_forms_open_for_an_admin(admin: Client, model: str) -> None:
    row = {
        "monitoring_rule": Rule.objects.first(),
        "monitoring_endpoint": endpoint(),
        "django_celery_beat_periodictask": PeriodicTask.objects.first(),
    }[model]
    assert row is not None
    assert admin.get(url(model)).status_code == 200
    assert admin.get(url(model, "add")).status_code == 200
    assert admin.get(url(model, "change", row.pk)).status_code == 200


@pytest.mark.parametrize("model", [*WRITTEN, "monitoring_service"])
def test_what_workers_write_can_be_seen_and_not_added(admin: Client, model: str) -> None:
    Stage().sweep(failing(9))
    assert admin.get(url(model)).status_code == 200
    assert admin.get(url(model, "add")).status_code == 403


def test_what_workers_write_can_be_neither_changed_nor_deleted(admin: Client) -> None:
    Stage().sweep(failing(9))
    for row in (Alert.objects.get(), Observation.objects.get()):
        model = f"monitoring_{row._meta.model_name}"
        assert admin.post(url(model, "change", row.pk), {"text": "x"}).status_code == 403
        assert admin.post(url(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    assert Alert.objects.get().text != "x"


@pytest.mark.parametrize("role", ["viewer", "operator", "editor"])
def test_other_roles_see_rules_and_endpoints_and_save_nothing(role: str) -> None:
    client, rule = signed_in(role), Rule.objects.get(name="log-flood")
    for model in ("monitoring_rule", "monitoring_endpoint"):
        assert client.get(url(model)).status_code == 200
        assert client.get(url(model, "add")).status_code == 403
    assert client.post(url("monitoring_rule", "change", rule.pk), {"open_above": 1}).status_code == 403
    assert client.post(url("monitoring_rule", "delete", rule.pk), {"post": "yes"}).status_code == 403
    assert client.get(url("django_celery_beat_periodictask")).status_code == 403
    assert Rule.objects.get(pk=rule.pk).open_above == 100


@pytest.mark.parametrize("model", [*EDITABLE, *WRITTEN])
def test_staff_without_a_role_sees_nothing_and_a_visitor_is_asked_to_sign_in(model: str) -> None:
    assert signed_in("").get(url(model)).status_code == 403
    for visitor in (Client(), signed_in("viewer", staff=False)):
        answer = visitor.get(url(model))
        assert answer.status_code == 302
        assert "login" in answer["Location"]


def test_a_rules_new_threshold_is_saved_and_judges_the_next_sample(admin: Client) -> None:
    rule = Rule.objects.get(name="log-flood")
    address = url("monitoring_rule", "change", rule.pk)
    answer = admin.post(address, form_of(admin, address, open_above="20", open_after="1", close_below="10"))

    assert answer.status_code == 302
    Stage().sweep(log_rate=25.0)
    assert firing() == {"log-flood"}


def test_the_alert_of_a_renamed_rule_still_clears_its_incident(admin: Client) -> None:
    stage = Stage()
    stage.sweep(failing(9))
    address = url("monitoring_rule", "change", Rule.objects.get(name="health-streak").pk)
    assert admin.post(address, form_of(admin, address, name="unhealthy")).status_code == 302
    stage.sweep()

    assert firing() == set()
    assert incident().green_since is not None


@pytest.mark.parametrize("changes", [{"kind": "probe"}, {"service_pattern": "web-*"}])
def test_a_rule_that_looks_elsewhere_lets_go_of_what_it_looked_at(
    admin: Client, changes: dict[str, str]
) -> None:
    stage = Stage()
    stage.sweep(failing(9))
    address = url("monitoring_rule", "change", Rule.objects.get(name="health-streak").pk)
    assert admin.post(address, form_of(admin, address, **changes)).status_code == 302
    stage.sweep(failing(10))

    assert firing() == set()
    assert incident().green_since is not None
    assert engine.close_unwatched(stage.at) == []


def test_a_probe_rule_may_have_an_alert_of_another_kind() -> None:
    Stage().sweep(failing(9))
    Rule.objects.filter(name="health-streak").update(kind="probe")

    assert engine.close_unwatched(NOW) == []


def test_deleting_a_rule_closes_its_alerts_first(admin: Client) -> None:
    Stage().sweep(failing(9))
    rule = Rule.objects.get(name="health-streak")
    assert admin.get(url("monitoring_rule", "delete", rule.pk)).status_code == 200
    assert admin.post(url("monitoring_rule", "delete", rule.pk), {"post": "yes"}).status_code == 302
    assert not Rule.objects.filter(pk=rule.pk).exists()
    assert incident().green_since is not None


def test_an_endpoint_is_added_and_a_second_one_of_the_same_address_is_refused(admin: Client) -> None:
    address = url("monitoring_endpoint", "add")
    given = form_of(admin, address, name="domain", kind="http", url="http://127.0.0.1:1/")
    assert admin.post(address, given).status_code == 302
    assert Endpoint.objects.get().timeout_s == 10.0

    again = admin.post(address, given)
    assert again.status_code == 200
    assert again.context["errors"]
    assert Endpoint.objects.count() == 1


def test_a_targets_hostile_words_are_escaped_on_its_page(admin: Client) -> None:
    row = endpoint(name="<script>alert(1)</script>", ok=False, at=NOW, detail="<img src=x onerror=alert(2)>")
    for address in (url("monitoring_endpoint"), url("monitoring_endpoint", "change", row.pk)):
        page = admin.get(address).content.decode()
        assert "<script>alert(1)" not in page
        assert "<img src=x" not in page
        assert "&lt;img src=x" in page


def test_switching_a_service_off_closes_its_alerts(admin: Client) -> None:
    stage = Stage()
    stage.sweep(failing(9))
    address = url("monitoring_service", "change", Service.objects.get().pk)
    assert admin.post(address, form_of(admin, address, enabled=None)).status_code == 302

    assert not Service.objects.get().enabled
    assert firing() == set()
    stage.sweep(failing(9))
    assert firing() == set()


def test_deleting_a_service_closes_its_alerts(admin: Client) -> None:
    stage = Stage()
    for _sweep in range(30):
        stage.sweep(failing(9))
    address = url("monitoring_service", "delete", Service.objects.get().pk)
    page = admin.get(address)
    assert page.context["deleted_objects"] == ["api-gateway"], "30 readings are counted, not named"
    assert 30 in dict(page.context["model_count"]).values()
    assert admin.post(address, {"post": "yes"}).status_code == 302
    assert not Service.objects.exists()
    assert incident().green_since is not None


def test_several_rules_are_deleted_at_once(admin: Client) -> None:
    Stage().sweep(failing(9))
    chosen = Rule.objects.filter(name__in=["health-streak", "log-flood"]).values_list("pk", flat=True)
    given = {"action": "delete_selected", "_selected_action": list(chosen), "post": "yes"}
    assert admin.post(url("monitoring_rule"), given).status_code == 302
    assert not Rule.objects.filter(name__in=["health-streak", "log-flood"]).exists()
    assert incident().green_since is not None


def test_the_schedule_is_changed_in_the_admin(admin: Client) -> None:
    row = PeriodicTask.objects.get(name="Probe endpoints")
    interval = IntervalSchedule.objects.create(every=30, period="seconds")
    address = url("django_celery_beat_periodictask", "change", row.pk)
    answer = admin.post(address, form_of(admin, address, interval=interval.pk, enabled=None))

    assert answer.status_code == 302
    row.refresh_from_db()
    assert (row.interval.every, row.enabled, row.task) == (30, False, "monitoring.probe")


@pytest.mark.parametrize("model", ["monitoring_service", "monitoring_endpoint", "monitoring_alert"])
def test_a_longer_list_costs_no_more_queries(admin: Client, model: str) -> None:
    def queries(name: str) -> int:
        Stage(name).sweep(failing(9))
        service = Service.objects.get(name=name)
        endpoint(name=name, url=f"http://127.0.0.1/{name}", service=service)
        with CaptureQueriesContext(connection) as counted:
            admin.get(url(model))
        return len(counted)

    first = [queries(f"first-{number}") for number in range(3)][-1]
    assert [queries(f"more-{number}") for number in range(6)][-1] <= first


@pytest.mark.parametrize("role", ["viewer", "operator", "editor", "admin"])
def test_nobody_writes_through_an_old_version_of_an_endpoint(client, role) -> None:
    user = User.objects.create_user("vera", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client.force_login(user)
    row = endpoint()
    old = row.history.get()
    address = reverse("admin:monitoring_endpoint_simple_history", args=[row.pk, old.history_id])

    assert client.get(address).status_code == 200
    given = {"name": "bent", "kind": row.kind, "vantage": row.vantage, "url": row.url, "timeout_s": "5"}
    assert client.post(address, given).status_code == 403
    row.refresh_from_db()
    assert (row.name, row.enabled) != ("bent", False)
    assert row.history.count() == 1
