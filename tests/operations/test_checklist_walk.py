"""The seed imported, and each of its six items broken and repaired in what runs: ``make prove-checklist``.

A real Engine, nginx, gateway, drill and message channel. The scheduled run looks at all six items each time:
what is broken moves its own items and no other.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import docker
import pytest
import redis
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone, translation

from incidents import channel_tests, notifications, texts
from incidents.models import Delivery, DeliveryState, ItemState, Outcome
from incidents.reports.importing import import_text
from portal.monitoring.models import Rule
from portal.operations import rechecks
from portal.operations.reach_verifiers import DEFAULT_KINDS
from tests.conditions import wait_until
from tests.operations import proxies
from tests.operations.walk import LONG, SHORT, Container, OwnGateway, Walk, table
from tests.proof.parts import an_engine_of_our_own
from tests.receiver import receiving
from tests.require import require
from tests.services import free_port

pytestmark = [
    pytest.mark.django_db(transaction=True),
    *(pytest.mark.docker, pytest.mark.nginx, pytest.mark.slow),
]

BACKOFF, LIMIT, LEVEL = "gateway.backoff", "gateway.attempt_limit", "logs.retry_level"
LIMITS, HEADER, ALERT = "docker.limits", "proxy.upgrade", "alert.armed"
CPU = {"nano_cpus": 1_000_000_000}
LIMITED = {**CPU, "mem_limit": "1g"}
HEAD = ("item", "verifier", "broken by", "seen", "runs", "changed", "repaired by", "seen", "runs")


@pytest.fixture
def walk(seed_report: Path, tmp_path: Path, redis_client: redis.Redis, settings) -> Iterator[Walk]:
    """Everything is well, and looked at by nobody yet."""
    require(os.geteuid() == 0 and shutil.which("dockerd"), "dockerd and root to start one that may be ended")
    require(shutil.which("busybox"), "busybox (Debian package busybox-static)")
    settings.LANGUAGE_CODE = "en"
    with ExitStack() as stack:
        stack.enter_context(translation.override("en"))
        engine = stack.enter_context(an_engine_of_our_own())
        settings.DOCKER_HOST = engine.host
        client = docker.DockerClient(base_url=engine.host, timeout=30)
        stack.callback(client.close)
        receiver = stack.enter_context(receiving())
        settings.NOTIFY_URLS = [receiver.channel]
        container = Container(client)
        container.make_image()
        container.recreate(**LIMITED)
        gateway = stack.enter_context(OwnGateway(tmp_path, redis_client).open())
        gateway.restart(1)
        text = seed_report.read_text(encoding="utf-8")
        incident = import_text(text=text, name=seed_report.name, now=timezone.now()).incident
        arm([receiver.channel])
        found = Walk(incident, engine, container, gateway)
        wait_until(found.sees_its_log, 30, "the container's log is read")
        yield found


def arm(urls: list[str]) -> None:
    """Have a rule of each kind that the item asks for, and a test message delivered."""
    Rule.objects.filter(kind__in=DEFAULT_KINDS).delete()
    for kind in DEFAULT_KINDS:
        Rule.objects.create(name=kind, kind=kind, open_above=90, close_below=80, service_pattern="*")
    now = timezone.now()
    channel_tests.start_all(content=texts.compose_test(channel="walk", by="walk", at=now), at=now)
    notifications.deliver(now=timezone.now(), urls=urls)
    assert Delivery.objects.filter(state=DeliveryState.SENT).exists()


def page(walk: Walk, name: str) -> str:
    """The item's page, as an administrator reads it."""
    user, _new = User.objects.get_or_create(username="olga", is_superuser=True, is_staff=True)
    client = Client(headers={"Accept-Language": "en"})
    client.force_login(user)
    response = client.get(f"/checklist/{walk.items()[name].pk}/")
    assert response.status_code == 200
    return response.content.decode()


def changes(walk: Walk, name: str) -> dict[str, tuple[str, str]]:
    """What the failing item says has changed, and shows on its page and the timeline."""
    item, shown, entry = walk.items()[name], page(walk, name), walk.reopened(name)
    assert item.difference["before"], "it passed before"
    assert "Why it failed" in shown
    assert entry.data["observed"] == item.difference["after"]
    found = {one["what"]: (one["before"], one["after"]) for one in item.difference["changes"]}
    assert all(what in shown for what in found)
    return found


def broken_and_repaired(walk: Walk, name: str, by: str, repair: str, expected: str, mend: Any) -> Any:
    """Look until the item fails with ``expected`` in its words, mend it, look until it is verified."""
    runs = walk.until(ItemState.FAILING, name)
    failed = walk.items()[name]
    assert expected in failed.observed
    found = changes(walk, name)
    mend()
    back = walk.until(ItemState.VERIFIED, name)
    changed = "; ".join(f"{what}: {old or '-'} > {new or '-'}" for what, (old, new) in found.items())
    now = walk.items()[name].observed
    walk.write(name, by, failed.observed, str(runs), changed or "-", repair, now, str(back))
    return found


def recreate(walk: Walk, **options: Any) -> None:
    """Recreate the container and wait until its log is read."""
    walk.container.recreate(**options)
    wait_until(walk.sees_its_log, 30, "the container's log is read")


@pytest.mark.timeout(400)
def test_each_item_of_the_seed_fails_when_its_part_is_broken_and_is_verified_when_it_is_repaired(
    walk: Walk, settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert list(walk.items()) == [BACKOFF, LIMIT, LEVEL, LIMITS, HEADER, ALERT]
    assert {item.target for item in walk.items().values()} == {"api-gateway"}
    port = free_port()
    settings.PUBLIC_URL = f"http://127.0.0.1:{port}"
    with proxies.websocket_server() as upstream:
        with proxies.proxied(proxies.FIXED, upstream, port=port):
            assert walk.until(ItemState.VERIFIED, *walk.items()) == 1
            the_container(walk)
            the_engine(walk)
            the_alert(walk)
        the_header(walk, upstream, port)
        with proxies.proxied(proxies.FIXED, upstream, port=port):
            the_backoff(walk)
    assert set(walk.states().values()) == {ItemState.VERIFIED}
    with capsys.disabled():
        print("\n" + table(HEAD, walk.lines))  # noqa: T201 - the proof's result


def the_container(walk: Walk) -> None:
    recreate(walk, **CPU)
    soon = timezone.now() + rechecks.DEBOUNCE
    assert walk.items()[LIMITS] in rechecks.due(soon), "the new container is a reason to look"
    found = broken_and_repaired(
        walk,
        LIMITS,
        "recreated without --memory",
        "recreated with it",
        "no memory limit",
        lambda: recreate(walk, **LIMITED),
    )
    assert (str(2**30), "") in found.values()


def the_engine(walk: Walk) -> None:
    before = walk.states()
    walk.engine.take()
    for _run in range(3):
        seen = walk.look()
        assert (seen[LIMITS], seen[LEVEL]) == (Outcome.UNKNOWN, Outcome.UNKNOWN)
        assert walk.states() == before, "unknown reopens nothing"
    stopped = walk.items()[LIMITS].observed
    walk.engine.give()
    wait_until(walk.sees_its_log, 30, "the Engine answers again")
    assert walk.look()[LIMITS] == Outcome.PASS
    walk.write(
        LIMITS,
        *("the Engine stopped", f"unknown: {stopped}", "3", "-"),
        *("started again", walk.items()[LIMITS].observed, "1"),
    )


def the_alert(walk: Walk) -> None:
    rule: Any = Rule.objects.get(kind=DEFAULT_KINDS[0])

    def enable(enabled: bool) -> None:
        rule.enabled = enabled
        rule._history_user = User.objects.get(username="olga")
        rule.save()

    enable(False)
    found = broken_and_repaired(
        walk, ALERT, "a rule switched off", "switched on", "no enabled rule", lambda: enable(True)
    )
    assert found == {f"{rule.name}.enabled (olga)": ("True", "False")}


def the_header(walk: Walk, upstream: int, port: int) -> None:
    with ExitStack() as running:
        running.enter_context(proxies.proxied(proxies.SEED, upstream, port=port))

        def mend() -> None:
            running.close()
            assert walk.look()[HEADER] == Outcome.UNKNOWN, "no nginx says nothing of its headers"
            running.enter_context(proxies.proxied(proxies.FIXED, upstream, port=port))

        broken_and_repaired(
            walk,
            HEADER,
            "nginx: Connection $http_connection",
            'Connection "upgrade"',
            "no upgrade header is forwarded when the client sends no Connection",
            mend,
        )


def the_backoff(walk: Walk) -> None:
    names = (BACKOFF, LIMIT, LEVEL)
    walk.gateway.restart(0)
    run = walk.drill(SHORT)
    assert run.state == "failed", run.detail
    assert {one.rule for one in run.judged if not one.met} >= {"waits"}
    assert {walk.items()[name].failures for name in names} == {1}, "the drill was the first run"
    runs = 1 + walk.until(ItemState.FAILING, *names)
    failed = walk.items()
    for name in names:
        assert f"drill {run.pk}" in failed[name].observed
        assert "waits of at least 0.4 s" in failed[name].observed
        assert changes(walk, name) == {"key-1 GATEWAY_RETRY_BASE": ("1.0", "0.0")}

    walk.gateway.restart(1)
    walk.look()
    assert {walk.states()[name] for name in names} == {ItemState.FAILING}, "the storm was not survived yet"
    again = walk.drill(LONG)
    assert {walk.states()[name] for name in names} == {ItemState.VERIFIED}, walk.told(names)
    for name in names:
        walk.write(
            name,
            *("backoff 0, a drill", failed[name].observed, str(runs), "GATEWAY_RETRY_BASE: 1 > 0"),
            *("backoff 1, a drill", f"drill {again.pk} passed", "1"),
        )
