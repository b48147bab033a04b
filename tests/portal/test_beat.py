"""Beat goes on when the clock is set back, and adds nothing to a full queue."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
import redis
from django_celery_beat.models import PeriodicTask

from gateway import keys
from portal import heartbeat
from portal.beat import QUEUE_MAX, HeartbeatScheduler
from portal.celery import app

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client")]
SWEEP = "monitoring.collect"


class Recording(HeartbeatScheduler):
    """Writes down what would be sent to a worker."""

    sent: list[str]

    def apply_async(self, entry, producer=None, advance=True, **kwargs):
        self.sent.append(entry.task)


def scheduler() -> Recording:
    app.loader.import_default_modules()
    found = Recording(app=app)
    found.sent = []
    found._finalize.cancel()  # it would write at the end of the process, when the test's database is gone
    return found


def sent_within(beat: Recording, ticks: int) -> list[str]:
    """Return what is sent when everything that is due is sent."""
    beat.sent.clear()
    for _ in range(ticks):
        if beat.tick() > 0:
            break
    return list(beat.sent)


def test_tasks_that_ran_by_a_clock_that_was_ahead_run_again_after_their_period(capfd, time_machine) -> None:
    beat = scheduler()
    now = datetime.now(UTC)
    time_machine.move_to(now)
    sent_within(beat, 100)
    time_machine.move_to(now + timedelta(hours=1))
    assert SWEEP in sent_within(beat, 100)

    time_machine.move_to(now + timedelta(seconds=5))
    sent_within(beat, 100)
    time_machine.move_to(now + timedelta(seconds=11))

    assert SWEEP in sent_within(beat, 100)
    assert "the clock was set back" in capfd.readouterr().err


def test_a_beat_that_starts_after_the_clock_was_set_back_does_not_wait_for_its_past(capfd) -> None:
    PeriodicTask.objects.filter(task=SWEEP).update(last_run_at=datetime.now(UTC) + timedelta(hours=1))
    beat = scheduler()

    sent_within(beat, 100)
    sweeps = [entry for entry in beat.schedule.values() if entry.task == SWEEP]

    assert sweeps
    for entry in sweeps:
        assert entry.schedule.remaining_estimate(entry.last_run_at) <= entry.schedule.run_every
    assert "the clock was set back" in capfd.readouterr().err


def test_a_clock_that_is_right_changes_nothing(capfd) -> None:
    past = datetime.now(UTC) - timedelta(hours=1)
    PeriodicTask.objects.filter(task=SWEEP).update(last_run_at=past)
    beat = scheduler()

    assert SWEEP in sent_within(beat, 100)
    assert sent_within(beat, 100) == []
    assert "clock" not in capfd.readouterr().err


def test_a_heartbeat_from_the_future_is_no_sign_of_life(redis_client: redis.Redis) -> None:
    redis_client.set(keys.HEARTBEAT.format(name="worker:ops@box"), time.time() + 3600)
    redis_client.set(keys.HEARTBEAT.format(name="worker:collect@box"), time.time() + 5)

    ages = heartbeat.ages(redis_client)

    assert ages["worker:ops@box"] > 3500
    assert ages["worker:collect@box"] == 0.0


def test_nothing_is_added_to_a_queue_that_nobody_works_off(
    redis_client: redis.Redis, time_machine, capfd
) -> None:
    start = datetime.now(UTC)
    time_machine.move_to(start)
    PeriodicTask.objects.update(last_run_at=start - timedelta(hours=1))
    beat = scheduler()
    redis_client.lpush("collect", *["stale"] * QUEUE_MAX)
    sent = sent_within(beat, 200)
    assert sent
    assert SWEEP not in sent, "its queue is full"

    redis_client.ltrim("collect", 0, QUEUE_MAX - 2)
    beat._room.clear()  # an answer holds for five seconds
    time_machine.move_to(start + timedelta(seconds=6))
    assert SWEEP in sent_within(beat, 200)
    assert capfd.readouterr().err.count("queue collect is full") == 1
