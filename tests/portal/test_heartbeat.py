"""Heartbeats of beat and of workers."""

from __future__ import annotations

import time

import pytest
import redis

from gateway import keys
from portal import heartbeat
from portal.celery import app
from portal.celery import heartbeat as task


def test_ages_are_told_by_name_and_nonsense_is_skipped(redis_client: redis.Redis) -> None:
    heartbeat.write("beat", redis_client)
    redis_client.set(keys.HEARTBEAT.format(name="worker:ops@box"), time.time() - 12)
    redis_client.set(keys.HEARTBEAT.format(name="broken"), "soon")

    ages = heartbeat.ages(redis_client)

    assert set(ages) == {"beat", "worker:ops@box"}
    assert ages["beat"] < 5
    assert 11 < ages["worker:ops@box"] < 20


def test_a_heartbeat_expires(redis_client: redis.Redis) -> None:
    heartbeat.write("beat")

    assert 0 < redis_client.ttl(keys.HEARTBEAT.format(name="beat")) <= heartbeat.TTL


def test_the_task_names_the_queue_and_the_host(redis_client: redis.Redis) -> None:
    task.apply(args=("ops",))

    assert [name.partition("@")[0] for name in heartbeat.ages(redis_client)] == ["worker:ops"]


@pytest.mark.django_db
def test_every_scheduled_task_exists_and_expires_within_its_period() -> None:
    from django_celery_beat.models import PeriodicTask

    app.loader.import_default_modules()
    rows = list(PeriodicTask.objects.exclude(task="celery.backend_cleanup").select_related("interval"))

    assert {row.queue for row in rows if row.task == "portal.heartbeat"} == {"collect", "ops"}
    for row in rows:
        assert row.task in app.tasks, row.task
        assert row.interval is None or row.expire_seconds, row.name
        if row.interval is not None:
            assert row.expire_seconds <= row.interval.schedule.run_every.total_seconds(), row.name
