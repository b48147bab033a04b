"""The dead-man ping: only while everything is well, never following, never telling its address."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler

import pytest
import redis
from django.core.checks import run_checks

from gateway import keys
from portal import deadman, heartbeat
from portal.celery import dead_man
from tests.monitoring.probe_servers import http_server
from tests.services import free_port

pytestmark = pytest.mark.django_db
SECRET = "s3cret-uuid"


class Service:
    """What the dead-man service heard, and how it answers."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.status = 200

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.paths.append(handler.path)
        handler.send_response(self.status)
        if self.status == 302:
            handler.send_header("Location", "/elsewhere")
        handler.send_header("Content-Length", "0")
        handler.end_headers()


@pytest.fixture
def service(settings) -> Iterator[Service]:
    found = Service()
    with http_server(found.answer) as url:
        settings.DEADMAN_URL = f"{url}/{SECRET}"
        yield found


@pytest.fixture
def well(redis_client: redis.Redis) -> redis.Redis:
    for name in ("beat", "worker:collect@box", "worker:ops@box"):
        heartbeat.write(name, redis_client)
    return redis_client


def test_it_pings_while_all_is_well(service: Service, well: redis.Redis) -> None:
    dead_man.apply()
    assert service.paths == [f"/{SECRET}"]
    last = deadman.last()
    assert last is not None
    assert (last.sent, last.ok, last.detail) == (True, True, "HTTP 200")


@pytest.mark.parametrize("name", ["beat", "worker:collect@box", "worker:ops@box"])
def test_it_does_not_ping_when_a_part_is_silent(service: Service, well: redis.Redis, name: str) -> None:
    well.delete(keys.HEARTBEAT.format(name=name))
    result = deadman.ping()
    assert service.paths == []
    assert result is not None
    assert result.detail == f"held back: {name.partition('@')[0].replace(':', '_')}"


def test_it_does_not_ping_without_redis(service: Service, settings) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    assert deadman.ping() is not None
    assert service.paths == []


def test_it_does_not_ping_without_the_database(
    service: Service, well: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError, connection

    def refuse() -> None:
        raise OperationalError

    monkeypatch.setattr(connection, "cursor", refuse)
    deadman.ping()
    assert service.paths == []


def test_a_redirect_is_not_followed_and_is_no_success(service: Service, well: redis.Redis) -> None:
    service.status = 302
    result = deadman.ping()
    assert service.paths == [f"/{SECRET}"]
    assert result is not None
    assert (result.ok, result.detail) == (False, "HTTP 302")


@pytest.mark.parametrize("break_it", [lambda s: setattr(s, "status", 500), None])
def test_its_address_is_told_nowhere_and_a_failure_is_logged_once(
    service: Service,
    well: redis.Redis,
    settings,
    caplog: pytest.LogCaptureFixture,
    break_it: Callable[[Service], None] | None,
) -> None:
    caplog.set_level(logging.DEBUG)
    if break_it:
        break_it(service)
    else:
        settings.DEADMAN_URL = f"http://127.0.0.1:{free_port()}/{SECRET}"
    deadman.ping()
    deadman.ping()
    assert caplog.text.count("dead-man ping:") == 1
    assert SECRET not in caplog.text
    assert SECRET not in str(deadman.last())


def test_nothing_is_sent_without_a_url_and_what_an_earlier_one_told_goes(
    service: Service, well: redis.Redis, settings
) -> None:
    assert deadman.ping() is not None
    settings.DEADMAN_URL = ""

    assert deadman.ping() is None
    assert (len(service.paths), deadman.last()) == (1, None)


@pytest.mark.parametrize(
    "url", ["ftp://host/x", "file:///etc/passwd", "https:///x", "host/x", "http://h:99999/"]
)
def test_another_scheme_or_no_host_stops_the_start(settings, url: str) -> None:
    settings.DEADMAN_URL = url
    found = [message for message in run_checks(tags=["portal"]) if message.id == "portal.E016"]
    assert len(found) == 1
    assert url not in found[0].msg
