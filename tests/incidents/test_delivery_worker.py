"""A real worker and Redis: a channel that is away for a while, and a worker that is killed while it sends."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis
from celery import Celery
from django.conf import settings

from tests.conditions import wait_until
from tests.databases import NAME, migrated
from tests.incidents.hook import receiver
from tests.services import free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(420),
]
ROOT = Path(__file__).resolve().parent.parent.parent
OPENED = "[Warning] INC-1 api-gateway: 헬스체크 연속 실패"
FIRE = """
from django.utils import timezone
from datetime import timedelta
from tests.incidents.conftest import fire
fire(at=timezone.now() - timedelta(seconds=60), **{given})
"""


class Site:
    """A migrated database and the ops worker on it; ``tick`` is what beat does every five seconds."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "LANGUAGE_CODE": "en",
            "DATA_DIR": str(folder),
            "DATABASE_URL": f"sqlite:///{folder / NAME}",
            "REDIS_URL": settings.REDIS_URL.rsplit("/", 1)[0] + "/9",
            "NOTIFY_URLS": url,
            "NOTIFY_RETRY_BASE": "0.2",
            "NOTIFY_TRIES": "8",
            "NOTIFY_LEASE": "2",
        }
        self.redis = redis.Redis.from_url(self.environment["REDIS_URL"])
        self.redis.flushdb()
        self.broker = Celery(broker=self.environment["REDIS_URL"], set_as_current=False)
        migrated(folder / NAME)
        self.fire()
        self.worker: subprocess.Popen[bytes] | None = None

    def fire(self, **given: str) -> None:
        """Raise an incident in the worker's database."""
        command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", FIRE.format(given=given)]
        done = subprocess.run(  # noqa: S603 - our own program
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr

    def states(self) -> list[list[object]]:
        """Return state and tries of each delivery, as the worker committed them."""
        query = "SELECT state, attempts FROM incidents_delivery ORDER BY id"
        with closing(sqlite3.connect(self.folder / NAME, timeout=20)) as database:
            return [list(row) for row in database.execute(query)]

    def start(self) -> None:
        command = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "portal",
            "worker",
            "-Q",
            "ops",
            "-c",
            "1",
            "-n",
            "t@t",
        ]
        with (self.folder / "worker.log").open("ab") as log:
            self.worker = subprocess.Popen(  # noqa: S603 - our own program
                [*command, "--without-gossip", "--without-mingle"],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """SIGKILL the worker and its children."""
        assert self.worker is not None
        os.killpg(self.worker.pid, signal.SIGKILL)
        self.worker.wait()
        self.worker = None
        # It would end by itself after a minute.
        self.redis.delete("lock:incidents.deliver")

    def tick(self) -> bool:
        """Ask for a run unless one waits already."""
        if not self.redis.llen("ops"):
            self.broker.send_task("incidents.deliver", queue="ops", ignore_result=True)
        return True

    def close(self) -> None:
        if self.worker is not None:
            self.kill()
        self.broker.close()
        self.redis.flushdb()
        self.redis.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site whose only channel is a port where nobody listens yet."""
    made = Site(tmp_path, f"json://127.0.0.1:{free_port()}/hook")
    try:
        yield made
    finally:
        made.close()


def test_a_channel_that_comes_back_gets_its_message_once(site: Site) -> None:
    site.start()

    def tried(times: int) -> bool:
        site.tick()
        found = site.states()
        return bool(found) and int(str(found[0][1])) >= times

    wait_until(lambda: tried(2), 150, "the worker tried twice in vain")
    port = int(site.environment["NOTIFY_URLS"].split(":")[2].split("/")[0])
    with receiver(port=port) as hook:
        wait_until(lambda: site.tick() and site.states()[0][0] == "sent", 60, "it was delivered")
        site.tick()
        site.fire(fingerprint="another")
        wait_until(lambda: site.tick() and [one[0] for one in site.states()] == ["sent"] * 2, 60, "both")

        assert (hook.calls, hook.titles.count(OPENED)) == (2, 1)


def test_a_worker_killed_while_it_sends_makes_no_second_message(site: Site) -> None:
    port = int(site.environment["NOTIFY_URLS"].split(":")[2].split("/")[0])
    with receiver(port=port) as hook:
        hook.go.clear()
        site.start()
        wait_until(lambda: site.tick() and hook.calls > 0, 150, "the message is on its way")
        site.kill()
        hook.go.set()
        site.start()
        wait_until(lambda: site.tick() and site.states()[0][0] == "uncertain", 90, "the claim was found lost")
        site.fire(fingerprint="another")
        wait_until(lambda: site.tick() and len(site.states()) == 2 and site.states()[1][0] == "sent", 60, "2")

        assert hook.calls == 2
        assert site.states()[0] == ["uncertain", 1]
