"""Monitors on the portal: who may add one, *Test now* by a real worker, and what the form refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from portal.dashboard import matrix
from portal.dashboard.data import Level
from portal.monitoring import store, tasks, trial
from portal.monitoring.models import Endpoint, Prober, RuntimeKind, Service, Vantage
from tests.conditions import wait_until
from tests.dashboard import world
from tests.monitoring.probe_servers import http_server, replying
from tests.monitoring.stage import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client")]
ADD = "/monitors/add/"


def signed_in(role: str) -> Client:
    """A client of somebody with one role, who reads English."""
    client = Client()
    client.force_login(world.person(role, role), backend="django.contrib.auth.backends.ModelBackend")
    client.cookies[django_settings.LANGUAGE_COOKIE_NAME] = "en"
    return client


@pytest.fixture
def operator() -> Client:
    """An operator."""
    return signed_in("operator")


def given(**changes: Any) -> dict[str, Any]:
    """What a browser sends from the filled form."""
    filled = {
        "name": "shop", "purpose": "API", "kind": "http", "vantage": "domain", "url": "https://shop.example/",
        "expected_status": "200", "min_days": "14", "timeout_s": "5", "interval_s": "60", "enabled": "on",
        "expect_frame": "on", "verb": "save",
    }  # fmt: skip
    return filled | changes


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who takes each test up at once."""
    monkeypatch.setattr(tasks.try_probe, "apply_async", lambda args, **_options: tasks.try_probe(*args))


def errors(answer: Any) -> dict[str, list[str]]:
    """Field errors of the shown form."""
    return {name: list(map(str, found)) for name, found in answer.context["form"].errors.items()}


@pytest.mark.parametrize(
    ("role", "code"), [("viewer", 403), ("operator", 200), ("editor", 200), ("admin", 200)]
)
def test_operators_and_editors_add_monitors_and_viewers_only_look(role: str, code: int) -> None:
    client = signed_in(role)
    assert client.get("/monitors/").status_code == 200
    assert client.get(ADD).status_code == code
    assert client.post(ADD, given()).status_code == (302 if code == 200 else 403)
    assert Endpoint.objects.count() == (code == 200)


def test_strangers_are_sent_to_the_login(client: Client) -> None:
    for path in ("/monitors/", ADD, "/monitors/1/"):
        assert client.get(path).status_code == 302


def test_saving_is_recorded_with_who_did_it_and_probes_at_once(operator: Client) -> None:
    operator.post(ADD, given())
    row = Endpoint.objects.get()
    assert (row.name, row.url, row.next_at) == ("shop", "https://shop.example/", None)
    Endpoint.objects.update(next_at=timezone.now(), ok=True, detail="HTTP 200")

    assert operator.post(f"/monitors/{row.pk}/", given(timeout_s="7")).status_code == 302
    row.refresh_from_db()
    assert (row.timeout_s, row.next_at, row.detail) == (7.0, None, "HTTP 200")
    assert [(one.history_user.username, one.history_type) for one in row.history.all()] == [
        ("operator", "~"), ("operator", "+"),
    ]  # fmt: skip
    assert "operator" in operator.get(f"/monitors/{row.pk}/").content.decode()


@pytest.mark.usefixtures("worker")
def test_a_test_shows_the_result_and_saves_nothing(operator: Client, settings: Any) -> None:
    settings.PROBE_ALLOW = ["loopback"]
    with http_server(replying(502, b"<script>alert(1)</script> token=hunter2")) as url:
        answer = operator.post(ADD, given(url=url, verb="test"))
    page = answer.content.decode()
    assert answer.context["tried"]["level"] == Level.CRITICAL
    assert "HTTP 502, expected 200: &lt;script&gt;" in page
    assert "hunter2" not in page
    assert f'value="{url}"' in page, "what was typed is still there"
    assert not Endpoint.objects.exists()


@pytest.mark.usefixtures("worker")
def test_a_test_of_a_name_that_leads_inside_is_refused_by_the_worker(operator: Client) -> None:
    answer = operator.post(ADD, given(url="http://localhost:6379/", verb="test"))
    assert answer.context["tried"]["level"] == Level.UNKNOWN
    assert "PROBE_ALLOW" in answer.content.decode()


@pytest.mark.usefixtures("worker")
def test_a_labels_monitor_can_be_tested_where_its_label_leads_and_nowhere_else(operator: Client) -> None:
    with http_server(replying(200)) as url:
        owner = Service.objects.create(
            runtime=RuntimeKind.DOCKER, name="shop", discovered_at=NOW, labels={"bonghwa.http": url}
        )
        row = Endpoint.objects.create(service=owner, name="shop", kind="http", url=url, from_label=True)
        sent = given(url="http://127.0.0.1:6379/", service=str(owner.pk), verb="test")
        answer = operator.post(f"/monitors/{row.pk}/", sent)
    assert answer.context["tried"]["level"] == Level.OK, "the URL is the label's, whatever was sent"
    row.refresh_from_db()
    assert row.url == url


def test_without_a_worker_the_page_says_so(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "WAIT_S", 0.2)
    answer = operator.post(ADD, given(verb="test"))
    assert "No worker took the test" in answer.content.decode()


def test_without_redis_the_page_says_so(operator: Client, settings: Any) -> None:
    store.client.cache_clear()
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    try:
        answer = operator.post(ADD, given(verb="test"))
    finally:
        store.client.cache_clear()
    assert "Redis does not answer; nothing was tested." in answer.content.decode()


def test_tests_of_one_person_are_limited(operator: Client, redis_client: redis.Redis) -> None:
    number = operator.session["_auth_user_id"]
    redis_client.set(store.COUNTER.format(who=f"trial:{number}"), trial.PER_MINUTE, ex=60)
    answer = operator.post(ADD, given(verb="test"))
    assert "Too many tests; try again in a minute." in answer.content.decode()


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"url": "ftp://x/"}, "url", "must begin with http:// / https://"),
        ({"kind": "websocket"}, "url", "must begin with ws:// / wss://"),
        ({"kind": "tcp", "url": "tcp://db.example"}, "url", "Give a port"),
        ({"url": "http://x.example:99999/"}, "url", "Give a port"),
        ({"url": "http:///x"}, "url", "no host"),
        ({"url": "http://a b/"}, "url", "without spaces"),
        ({"url": "http://127.0.0.1:6379/"}, "url", "bonghwa.http"),
        ({"url": "http://169.254.169.254/"}, "url", "internal or special address"),
        ({"kind": "websocket", "url": "ws://[::1]:80/"}, "url", "bonghwa.ws"),
        ({"timeout_s": "99"}, "timeout_s", "less than or equal to 10"),
        ({"interval_s": "1"}, "interval_s", "greater than or equal to 10"),
        ({"name": ""}, "name", "required"),
        ({"kind": "icmp"}, "kind", "not one of the available choices"),
    ],
)
def test_what_cannot_be_probed_is_refused_beside_its_field_and_kept(
    operator: Client, changes: dict[str, str], field: str, words: str
) -> None:
    answer = operator.post(ADD, given(**changes))
    assert answer.status_code == 422
    assert words in " ".join(errors(answer)[field])
    assert not Endpoint.objects.exists()
    assert 'value="API"' in answer.content.decode()


def test_a_prober_elsewhere_may_have_addresses_that_this_portal_may_not(operator: Client) -> None:
    elsewhere = Prober(name="seoul")
    elsewhere.make_token()
    elsewhere.save()
    assert operator.post(ADD, given(url="http://10.0.0.5/", prober=str(elsewhere.pk))).status_code == 302
    assert operator.post(ADD, given()).status_code == 302
    assert operator.post(ADD, given(prober=str(elsewhere.pk))).status_code == 302
    twice = operator.post(ADD, given(prober=str(elsewhere.pk)))
    assert errors(twice) == {"url": ["shop probes this URL already."]}


def test_secrets_of_a_url_are_never_shown_again_and_kept_when_nothing_is_typed(operator: Client) -> None:
    url = "https://bob:hunter2@shop.example/?token=hunter3"
    operator.post(ADD, given(url=url, send="token=hunter4"))
    row = Endpoint.objects.get()
    page = f"/monitors/{row.pk}/"
    for path in ("/monitors/", page):
        assert "hunter" not in operator.get(path).content.decode()
    shown = operator.get(page).context["form"]
    sent = given(url=shown["url"].value(), send=shown["send"].value(), name="renamed")
    assert operator.post(page, sent).status_code == 302
    row.refresh_from_db()
    assert (row.name, row.url, row.send) == ("renamed", url, "token=hunter4")

    mixed = operator.post(page, given(url=shown["url"].value() + "&x=1"))
    assert "Type the whole text again" in errors(mixed)["url"][0]


def test_one_purpose_from_several_vantages_is_one_line() -> None:
    now = timezone.now()
    rows = [
        Endpoint(pk=1, name="a", purpose="API", vantage=Vantage.DOMAIN, ok=False),
        Endpoint(pk=2, name="b", purpose="API", vantage=Vantage.HOST, ok=True),
        Endpoint(pk=3, name="c", vantage=Vantage.HOST, ok=True, enabled=False),
        Endpoint(pk=4, name="d", purpose="API", vantage=Vantage.DOMAIN, ok=True, stale_at=NOW),
    ]
    found = matrix.build(rows, now)
    assert found.vantages == (Vantage.HOST, Vantage.DOMAIN)
    assert [
        (line.purpose, [[cell.level for cell in place.cells] for place in line.places])
        for line in found.lines
    ] == [
        ("API", [[Level.OK], [Level.CRITICAL, Level.UNKNOWN]]),
        ("c", [[Level.OFF], []]),
    ]


def test_the_page_costs_the_same_however_many_monitors_there_are(operator: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as counted:
            operator.get("/monitors/")
        return len(counted)

    operator.post(ADD, given())
    first = queries()
    for number in range(20):
        owner = Service.objects.create(runtime=RuntimeKind.DOCKER, name=f"s{number}", discovered_at=NOW)
        Endpoint.objects.create(service=owner, name="x", kind="http", url=f"https://s{number}.example/")
    assert queries() <= first


@pytest.mark.django_db(transaction=True)
def test_a_real_worker_runs_the_test(
    operator: Client, settings: Any, tmp_path: Path, redis_client: redis.Redis
) -> None:
    environment = os.environ | {
        "PROBE_ALLOW": "loopback",
        "DATABASE_URL": f"sqlite:///{tmp_path}/none.sqlite3",
    }
    arguments = ["-q", "-A", "portal", "worker", "-Q", "collect", "--pool", "solo", "--loglevel", "ERROR"]
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", "celery", *arguments, "--without-gossip", "--without-mingle"],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: redis_client.keys("heartbeat:worker:*"), 90, "the worker is ready")
        with http_server(replying(200)) as url:
            settings.PROBE_ALLOW = ["loopback"]
            answer = operator.post(ADD, given(url=url, verb="test"))
        assert answer.context["tried"]["level"] == Level.OK
        assert answer.context["tried"]["reading"].detail == "HTTP 200"
    finally:
        process.terminate()
        process.wait(20)


def test_the_service_page_shows_the_matrix(operator: Client) -> None:
    service = world.seed_services(timezone.now())[0]
    page = operator.get(reverse("service", args=[service.pk])).content.decode()
    assert "p-matrix" in page
    assert "502 Bad Gateway" in page
