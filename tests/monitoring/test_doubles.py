"""Two beats, workers killed in the middle of a sweep, tasks delivered again: one incident, one message.

Real beats and Celery workers over a real Valkey, a database of their own and a real supervised program
whose health check fails.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import redis

from tests.conditions import wait_until
from tests.databases import NAME, migrated
from tests.incidents.hook import Hook, receiver
from tests.monitoring.labs import ProcessLab, supervisord
from tests.services import stop

ROOT = Path(__file__).resolve().parent.parent.parent
HURRY = """
from django_celery_beat.models import IntervalSchedule, PeriodicTask, PeriodicTasks
second, _ = IntervalSchedule.objects.get_or_create(every=1, period="seconds")
names = ["Sweep processes", "Deliver messages", "Resolve green incidents"]
PeriodicTask.objects.filter(name__in=names).update(interval=second, expire_seconds=5)
PeriodicTask.objects.exclude(name__in=names).update(enabled=False)
PeriodicTasks.update_changed()
"""
HELD = """
import json
from incidents.models import Incident, IncidentSignal, Notification
from portal.monitoring.models import Alert
print("HELD " + json.dumps({
    "incidents": Incident.objects.count(),
    "signals": sorted(IncidentSignal.objects.values_list("detail__rule", flat=True)),
    "open": sorted(Alert.objects.values_list("rule__name", flat=True)),
    "messages": Notification.objects.count(),
}))
"""
AGAIN = """
from celery import current_app
for number in range(3):
    for _copy in range(3):
        current_app.send_task("monitoring.collect", ["process"], task_id=f"again-{number}", queue="collect")
        current_app.send_task("incidents.deliver", task_id=f"deliver-{number}", queue="ops")
        current_app.send_task("incidents.freeze", [1], task_id=f"freeze-{number}", queue="ops")
"""


class Site:
    """A database, a Redis database and the processes over them."""

    def __init__(self, folder: Path, hook: Hook, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        broker = os.environ["REDIS_URL"].rsplit("/", 1)[0] + "/9"
        self.started: list[int] = []
        self.redis = redis.Redis.from_url(broker)
        self.redis.flushdb()
        self.environment = {
            **os.environ, "DATA_DIR": str(folder), "REDIS_URL": broker, "NOTIFY_URLS": hook.url,
            "LANGUAGE_CODE": "en", "DOCKER_HOST": "unix:///nowhere/sock",
        }  # fmt: skip
        migrated(folder / NAME)
        self.manage("shell", "--no-imports", "-c", HURRY)

    def manage(self, *arguments: str) -> str:
        """Run a management command; returns what it printed."""
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(  # noqa: S603 - our own program
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def celery(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a Celery process; it is ended with the site."""
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "celery", "-q", "-A", "portal", *arguments],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.started.append(process.pid)
        self.stack.callback(stop, process)
        return process

    def worker(self, queue: str, name: str) -> subprocess.Popen[bytes]:
        """Start a worker that runs its tasks in its only process, so that a kill hits the task."""
        options = ("--pool", "solo", "--without-gossip", "--without-mingle")
        return self.celery("worker", "-Q", queue, "-n", f"{name}@test", *options)

    def beat(self) -> None:
        """Start a beat."""
        self.celery("beat", "--pidfile=")

    def held(self) -> dict[str, object]:
        """What the database holds."""
        said = self.manage("shell", "--no-imports", "-c", HELD)
        held: dict[str, object] = json.loads(said.partition("HELD ")[2])
        return held

    def kill_in_the_middle(self, worker: subprocess.Popen[bytes]) -> None:
        """SIGKILL ``worker`` while a sweep holds its lock, and let the dead one's lock run out."""
        name = "monitoring:lock:collect:process"
        wait_until(lambda: self.redis.exists(name), 120, "a sweep runs", every=0.001)
        worker.kill()
        worker.wait()
        self.redis.delete(name)


@contextmanager
def site() -> Iterator[tuple[Site, Hook]]:
    """Run a site whose supervisor holds one program that is never healthy."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bw-")))
        hook = stack.enter_context(receiver())
        stack.enter_context(supervisord(folder))
        ProcessLab(folder).start("while true; do sleep 1; done", check=False)
        running = Site(folder, hook, stack)
        stack.callback(running.redis.close)
        yield running, hook


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_doubled_beats_killed_workers_and_repeated_tasks_lead_to_one_incident_and_one_message() -> None:
    with site() as (running, hook):
        for _beat in range(2):
            running.beat()
        for number in range(2):
            running.kill_in_the_middle(running.worker("collect", f"killed-{number}"))
        for queue in ("collect", "collect", "ops"):
            running.worker(queue, f"{queue}-{len(running.started)}")

        wait_until(lambda: hook.titles, 120, "the message arrives")
        running.manage("shell", "--no-imports", "-c", AGAIN)
        for queue in ("collect", "ops"):
            wait_until(lambda name=queue: not running.redis.llen(name), 120, f"{queue} is worked off")  # type: ignore[misc] # the default binds the loop's value
        held = running.held()
    assert held == {"incidents": 1, "signals": ["health-streak"], "open": ["health-streak"], "messages": 1}
    assert len(hook.titles) == hook.calls == 1
