"""Two real workers of one queue, as deployed: each proves by itself that it lives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import redis

from gateway import keys
from portal import worker_heartbeat
from portal.worker_heartbeat import own_queue
from tests.conditions import wait_until
from tests.rights import Redis, guarded_redis
from tests.services import stop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
ROOT = Path(__file__).resolve().parent.parent.parent
WORKERS = ("collect@one", "collect@two")
#: For a start beside other tests, and for a heartbeat's period.
STARTED_WITHIN, BEATEN_WITHIN = 90, 45


@contextmanager
def running(name: str, url: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the worker ``name`` of the queue collect until it is left."""
    words = ("-m", "celery", "-q", "-A", "portal", "worker", "-Q", "collect", "-n", name)
    options = ("--concurrency", "1", "--without-gossip", "--without-mingle", "--without-heartbeat")
    environment = {**os.environ, "REDIS_URL": url, "DATA_DIR": str(folder)}
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, *words, *options], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
        try:
            yield process
        finally:
            stop(process)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Redis]:
    with guarded_redis(tmp_path) as found:
        yield found


def beaten(client: redis.Redis, name: str) -> float:
    """Return when the worker ``name`` has beaten last, 0 if never."""
    return float(client.get(keys.HEARTBEAT.format(name=f"worker:{name}")) or 0)


def wait_for_a_heartbeat(
    client: redis.Redis, name: str, after: float = 0, within: float = BEATEN_WITHIN
) -> None:
    """Wait until the worker ``name`` has beaten after that unix time."""
    wait_until(lambda: beaten(client, name) > after, within, f"{name} beats")


def test_each_of_two_workers_beats_without_beat_and_with_the_rights_of_its_role(
    server: Redis, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        for name in WORKERS:
            stack.enter_context(running(name, server.url("worker-collect"), tmp_path))
        for name in WORKERS:
            wait_for_a_heartbeat(server.looker, name, within=STARTED_WITHIN)
        first = {name: beaten(server.looker, name) for name in WORKERS}

        for name in WORKERS:
            wait_for_a_heartbeat(server.looker, name, after=first[name])

    assert server.denied() == []
    logs = "".join((tmp_path / f"{name}.log").read_text() for name in WORKERS)
    assert "heartbeat not" not in logs, logs


def test_a_worker_that_hangs_falls_silent_and_what_it_left_goes_by_itself(
    server: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = WORKERS[0]
    with running(name, server.url("worker-collect"), tmp_path) as process:
        wait_for_a_heartbeat(server.looker, name, within=STARTED_WITHIN)
        children = (Path(f"/proc/{process.pid}/task/{process.pid}/children")).read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGSTOP)
        queue = own_queue(name).name
        wait_until(lambda: server.looker.llen(queue) > 0, BEATEN_WITHIN * 2, "heartbeats wait")
        last = beaten(server.looker, name)
        left = server.looker.ttl(queue)
        for child in children:
            os.kill(int(child), signal.SIGCONT)
        wait_for_a_heartbeat(server.looker, name, after=last)

    assert 0 < left <= worker_heartbeat.QUEUE_TTL
