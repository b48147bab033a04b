"""What a container becomes, and how it is asked whether it lives: real processes, a real Valkey."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import redis

from gateway import keys
from portal.supervise import health, plan, role

ROOT = Path(__file__).resolve().parent.parent.parent
ROLES = ["beat", "gateway", "setup", "web", "worker-collect", "worker-ops"]


def test_a_container_runs_what_make_run_runs() -> None:
    own = {one.name: list(one.command) for one in plan.programs(setup())}
    found = {name: list(words) for name, words in role.commands({}).items()}

    assert sorted(found) == ROLES
    assert found.pop("gateway") == [*own.pop("gateway"), "--simulator"]
    assert found.pop("setup")[1:] == ["manage.py", "setup"]
    assert found == own


def setup() -> plan.Setup:
    return plan.Setup(
        base=ROOT, data=ROOT / "var", python=sys.executable, bind="", port=5111, host=os.uname().nodename,
        simulator=False,
    )  # fmt: skip


def test_an_unknown_role_ends_with_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "portal.supervise.role"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "ROLE": "webb"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr.splitlines() == [f"bonghwa: ROLE='webb' must be one of {', '.join(ROLES)}."]


def test_a_process_may_have_as_many_files_as_the_engine_allows() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = role.FILES if limits[1] == resource.RLIM_INFINITY else min(role.FILES, limits[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(allowed, 1000), limits[1]))
    try:
        role.allow_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (allowed, limits[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def asked(name: str, host: str = "box") -> str:
    return health.check({"ROLE": name, "REDIS_URL": os.environ["REDIS_URL"]}, host)


@pytest.mark.parametrize(
    ("name", "key", "limit"),
    [
        ("beat", "beat", health.BEAT_MAX_AGE),
        ("worker-collect", "worker:collect@box", health.WORKER_MAX_AGE),
        ("worker-ops", "worker:ops@box", health.WORKER_MAX_AGE),
    ],
)
def test_workers_and_beat_live_while_they_beat(
    redis_client: redis.Redis, name: str, key: str, limit: float
) -> None:
    with pytest.raises(health.Unhealthy, match="has not beaten"):
        asked(name)
    redis_client.set(keys.HEARTBEAT.format(name=key), time.time() - limit / 2)
    assert "s ago" in asked(name)
    redis_client.set(keys.HEARTBEAT.format(name=key), time.time() - limit - 5)
    with pytest.raises(health.Unhealthy, match="s ago"):
        asked(name)


def test_another_container_s_heartbeat_proves_nothing(redis_client: redis.Redis) -> None:
    redis_client.set(keys.HEARTBEAT.format(name="worker:ops@box"), time.time())

    with pytest.raises(health.Unhealthy, match="has not beaten"):
        asked("worker-ops", "box2")


def test_a_gateway_lives_while_it_owns_a_key_or_stands_by(redis_client: redis.Redis) -> None:
    redis_client.sadd(keys.SLOTS, "key-1")
    with pytest.raises(health.Unhealthy, match="neither"):
        asked("gateway")

    redis_client.set(keys.LEASE.format(slot="key-1"), "box:1:abc|17")
    redis_client.zadd(keys.STANDBY.format(slot="key-1"), {"other:1:def": time.time()})
    assert asked("gateway") == "owns key-1"
    assert asked("gateway", "other") == "stands by for key-1"
    with pytest.raises(health.Unhealthy, match="neither"):
        asked("gateway", "bo")

    redis_client.zadd(keys.STANDBY.format(slot="key-1"), {"other:1:def": time.time() - 60})
    with pytest.raises(health.Unhealthy, match="neither"):
        asked("gateway", "other")


def test_a_redis_that_is_away_is_unhealthy_and_its_password_is_not_told(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("redis://web:not-to-be-told@127.0.0.1:1/0\n")
    with pytest.raises(health.Unhealthy) as told:
        health.check({"ROLE": "beat", "REDIS_URL_FILE": str(file)}, "box")

    assert str(told.value) == "Redis does not tell: ConnectionError"


class Answer(BaseHTTPRequestHandler):
    """Answers with the server's status."""

    def do_GET(self) -> None:
        self.send_response(self.server.status if self.path == "/health" else 404)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def web() -> Iterator[HTTPServer]:
    """A server whose ``status`` a test chooses."""
    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_web_process_is_asked_for_its_health(web: HTTPServer, status: int, code: int) -> None:
    web.status = status  # type: ignore[attr-defined]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "portal.supervise.health"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PORT": str(web.server_port)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == code
    assert "django" not in done.stderr, "it runs every few seconds in every container"
