"""Rules tried in their form, fired for a test; silences and windows kept with who made them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from incidents import notifications
from incidents.models import Delivery, Incident, Notification, NotificationKind
from portal.monitoring import testfire
from portal.monitoring.models import (
    Alert,
    MaintenanceWindow,
    Observation,
    Rule,
    RuntimeKind,
    Service,
    Silence,
)
from tests.incidents.hook import receiver
from tests.monitoring.test_admin import form_of, signed_in, url

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin() -> Client:
    """Somebody with the role ``admin``."""
    return signed_in("admin")


def burst() -> None:
    """A service that burned a core for a minute, a moment ago."""
    service = Service.objects.create(runtime=RuntimeKind.DOCKER, name="api", discovered_at=timezone.now())
    Observation.objects.bulk_create(
        Observation(service=service, at=timezone.now() - timedelta(seconds=5 * number), cpu_percent=95.0)
        for number in range(12)
    )


def test_a_rule_is_tried_from_its_form_before_it_is_saved(admin: Client) -> None:
    burst()
    rule = Rule.objects.get(name="cpu-sustained")
    sent = form_of(admin, url("monitoring_rule", "change", rule.pk), open_above="96")
    address = reverse("admin:monitoring_rule_dry_run") + f"?rule={rule.pk}"

    assert admin.post(address, sent).context["result"].total == 0
    assert admin.post(address, sent | {"open_above": "90"}).context["result"].total == 1
    new = form_of(
        admin, url("monitoring_rule", "add"), name="mine", kind="cpu", open_above="50", close_below="40"
    )
    assert admin.post(reverse("admin:monitoring_rule_dry_run"), new).context["result"].total == 1
    assert Rule.objects.get(pk=rule.pk).open_above == 90
    assert not Rule.objects.filter(name="mine").exists()


def test_enter_in_the_form_presses_neither_button(admin: Client) -> None:
    rule = Rule.objects.get(name="cpu-sustained")
    page = admin.get(url("monitoring_rule", "change", rule.pk)).content.decode()
    tools, form = page.index("dry-run-result"), page.index('id="rule_form"')
    assert tools < form, "they are no part of the rule's form"
    assert 'hx-include="#rule_form"' in page
    assert f'action="{reverse("admin:monitoring_rule_test_fire", args=[rule.pk])}"' in page


def test_a_form_that_is_wrong_is_told_what_is(admin: Client) -> None:
    address = reverse("admin:monitoring_rule_dry_run")
    page = admin.post(address, {"name": "x", "ladder": "10=red", "kind": "cpu"}).content.decode()
    assert "10=red" in page
    assert "open_above" in page


@pytest.mark.parametrize("role", ["viewer", "operator", "editor"])
def test_only_who_may_change_rules_may_try_and_fire_them(role: str) -> None:
    client, rule = signed_in(role), Rule.objects.get(name="log-flood")
    assert client.post(reverse("admin:monitoring_rule_dry_run"), {}).status_code == 403
    assert client.post(reverse("admin:monitoring_rule_test_fire", args=[rule.pk])).status_code == 403


def test_a_look_at_a_button_fires_nothing(admin: Client) -> None:
    rule = Rule.objects.get(name="log-flood")
    assert admin.get(reverse("admin:monitoring_rule_test_fire", args=[rule.pk])).status_code == 403


def test_a_test_goes_into_the_outbox_and_is_kept(admin: Client, settings) -> None:
    settings.NOTIFY_URLS = ["json://127.0.0.1:9/"]
    rule = Rule.objects.get(name="log-flood")
    admin.post(reverse("admin:monitoring_rule_test_fire", args=[rule.pk]))
    assert Delivery.objects.get().message.content["en"][0].startswith("[TEST] ")
    assert LogEntry.objects.filter(object_id=str(rule.pk), user__username="admin").count() == 1


def test_without_a_channel_a_test_says_so(admin: Client) -> None:
    rule = Rule.objects.get(name="log-flood")
    page = admin.post(reverse("admin:monitoring_rule_test_fire", args=[rule.pk]), follow=True)
    assert [message.level_tag for message in page.context["messages"]] == ["error"]
    assert not LogEntry.objects.filter(object_id=str(rule.pk)).exists()


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_the_worker_sends_the_marked_sentence_to_the_channel_and_opens_nothing(settings) -> None:
    settings.LANGUAGE_CODE = "en"
    with receiver() as hook:
        settings.NOTIFY_URLS = [hook.url]
        for rule in Rule.objects.all():
            assert testfire.fire(rule) == 1
        notifications.deliver(now=timezone.now(), urls=settings.NOTIFY_URLS)

    assert len(hook.titles) == Rule.objects.count()
    assert all(title.startswith("[TEST] ") for title in hook.titles)
    assert "Nothing is wrong" in hook.bodies[0]
    assert not Alert.objects.exists()
    assert not Incident.objects.exists()
    assert not Notification.objects.exclude(kind=NotificationKind.TEST).exists()


def test_a_silence_keeps_who_made_it_and_who_ended_it(admin: Client) -> None:
    until = timezone.localtime(timezone.now() + timedelta(hours=2))
    sent = form_of(admin, url("monitoring_silence", "add"), reason="deploy") | {
        "until_0": until.strftime("%Y-%m-%d"), "until_1": until.strftime("%H:%M:%S"),
        "starts_at_0": timezone.localtime().strftime("%Y-%m-%d"),
        "starts_at_1": timezone.localtime().strftime("%H:%M:%S"),
    }  # fmt: skip
    assert admin.post(url("monitoring_silence", "add"), sent).status_code == 302
    row = Silence.objects.get()
    assert row.created_by is not None
    assert row.history.get().history_user == row.created_by

    too_long = timezone.localtime(timezone.now() + timedelta(days=40))
    sent |= {"until_0": too_long.strftime("%Y-%m-%d")}
    assert admin.post(url("monitoring_silence", "change", row.pk), sent).status_code == 200


def test_a_window_has_boxes_for_weekdays(admin: Client) -> None:
    sent = form_of(admin, url("monitoring_maintenancewindow", "add"), name="night", reason="backup") | {
        "weekdays": ["mon", "sun"], "start": "02:00", "duration_min": "30",
    }  # fmt: skip
    assert admin.post(url("monitoring_maintenancewindow", "add"), sent).status_code == 302
    assert MaintenanceWindow.objects.get().weekdays == ["mon", "sun"]
    sent = {**sent, "name": "never"}
    del sent["weekdays"]
    assert admin.post(url("monitoring_maintenancewindow", "add"), sent).status_code == 200


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"open_above": "10", "close_below": "20"}, "close_below"),
        ({"window_bad": "5", "window_size": "3"}, "window_size"),
        ({"window_size": "21"}, "window_size"),
        ({"ladder": "abc"}, "ladder"),
        ({"kind": "memory_slope"}, "sustain_s"),
        ({"kind": "tls", "open_above": "21", "close_below": "7"}, "close_below"),
    ],
)
def test_a_rule_that_contradicts_itself_is_refused(
    admin: Client, changes: dict[str, str], field: str
) -> None:
    rule = Rule.objects.get(name="log-flood")
    address = url("monitoring_rule", "change", rule.pk)
    answer = admin.post(address, form_of(admin, address, **changes))
    assert answer.status_code == 200
    assert field in answer.context["adminform"].form.errors
