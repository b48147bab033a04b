"""Who tells that beat or a worker is dead: one incident and one message, without beat, worker or Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
from django.db import OperationalError, connection

from gateway import keys
from incidents import audit, audit_anchor
from incidents.models import Incident, IncidentSignal, Notification
from portal import heartbeat, watchers
from portal.celery import app
from portal.watchers import Watcher, WatcherThread
from tests.conditions import wait_until
from tests.incidents.hook import Hook, receiver
from tests.services import free_port

NOW = datetime(2026, 11, 23, 0, 15, tzinfo=UTC)
ALL = ("beat", "worker:collect@box", "worker:ops@box")
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def beat(client: redis.Redis, *names: str, age: float = 0.0) -> None:
    for name in names:
        client.set(keys.HEARTBEAT.format(name=name), time.time() - age)


def open_keys() -> set[str]:
    return set(IncidentSignal.objects.filter(cleared_at=None).values_list("key", flat=True))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "part"), [("beat", "beat"), (ALL[1], "worker:collect"), (ALL[2], "worker:ops")]
)
def test_a_silent_part_opens_an_incident_at_its_deadline_and_not_before(
    redis_client: redis.Redis, name: str, part: str
) -> None:
    watcher = Watcher(NOW)
    beat(redis_client, *ALL)
    beat(redis_client, name, age=89)
    assert watcher.check(after(200)) == {}
    assert not Incident.objects.exists()

    beat(redis_client, name, age=95)
    assert list(watcher.check(after(206))) == [part]
    assert open_keys() == {f"silent:{part}"}
    incident = Incident.objects.get()
    assert part in incident.title
    assert incident.impact_started_at is not None
    assert 90 <= (after(206) - incident.impact_started_at).total_seconds() <= 100


@pytest.mark.django_db
def test_another_worker_of_the_queue_is_enough(redis_client: redis.Redis) -> None:
    beat(redis_client, *ALL, "worker:ops@other")
    beat(redis_client, "worker:ops@box", age=3000)
    assert Watcher(NOW).check(after(4000)) == {}


@pytest.mark.django_db
def test_several_watchers_and_looks_raise_one_incident_and_it_ends_when_all_beat(
    redis_client: redis.Redis,
) -> None:
    beat(redis_client, *ALL, age=100)
    one, other = Watcher(NOW), Watcher(NOW)
    for seconds in (200, 215, 230):
        one.check(after(seconds))
        other.check(after(seconds + 1))
    assert Incident.objects.count() == 1
    assert Notification.objects.count() == 1
    assert len(open_keys()) == 3

    beat(redis_client, "beat")
    one.check(after(245))
    assert open_keys() == {"silent:worker:collect", "silent:worker:ops"}
    beat(redis_client, *ALL)
    other.check(after(260))
    assert open_keys() == set()
    assert Incident.objects.get().green_since == after(260)


@pytest.mark.django_db
def test_a_process_that_starts_after_the_return_clears_what_an_earlier_one_raised(
    redis_client: redis.Redis,
) -> None:
    beat(redis_client, *ALL, age=100)
    Watcher(NOW).check(after(200))
    beat(redis_client, *ALL)
    Watcher(after(300)).check(after(301))
    assert open_keys() == set()


@pytest.mark.django_db
def test_a_process_that_starts_meanwhile_does_not_call_a_silent_part_heard(redis_client: redis.Redis) -> None:
    beat(redis_client, *ALL)
    beat(redis_client, ALL[1], age=400)
    Watcher(NOW).check(after(200))
    Watcher(after(300)).check(after(301))
    assert open_keys() == {"silent:worker:collect"}


@pytest.mark.django_db
def test_a_round_that_never_ends_any_more_opens_an_incident(redis_client: redis.Redis) -> None:
    watcher = Watcher(NOW)
    beat(redis_client, *ALL, "round:probes")
    beat(redis_client, "round:sweep:docker", age=145)
    assert watcher.check(after(300)) == {}

    beat(redis_client, "round:sweep:docker", age=155)
    assert list(watcher.check(after(310))) == ["round:sweep:docker"]
    assert "round:sweep:docker" in Incident.objects.get().title

    beat(redis_client, "round:sweep:docker")
    watcher.check(after(325))
    assert open_keys() == set()


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["beat", "worker:collect@box"])
def test_rounds_are_counted_from_the_return_of_who_makes_them(redis_client: redis.Redis, name: str) -> None:
    watcher = Watcher(NOW)
    beat(redis_client, *ALL)
    beat(redis_client, name, "round:probes", age=300)
    assert list(watcher.check(after(400))) == [name.partition("@")[0]]

    beat(redis_client, name)
    assert watcher.check(after(415)) == {}
    assert watcher.check(after(540)) == {}
    assert list(watcher.check(after(555))) == ["round:probes"]


@pytest.mark.django_db
def test_rounds_are_counted_from_the_return_of_the_database(redis_client: redis.Redis) -> None:
    def away(*_: object) -> None:
        raise OperationalError("the server is away")

    watcher = Watcher(NOW)
    beat(redis_client, *ALL)
    beat(redis_client, "round:probes", age=300)
    with connection.execute_wrapper(away), pytest.raises(OperationalError):
        watcher.check(after(400))

    assert watcher.check(after(415)) == {}
    assert list(watcher.check(after(555))) == ["round:probes"]


@pytest.mark.django_db
def test_parts_that_never_beat_get_their_time_after_a_start(redis_client: redis.Redis) -> None:
    watcher = Watcher(NOW)
    assert watcher.check(after(60)) == {}
    assert set(watcher.check(after(95))) == {"beat", "worker:collect", "worker:ops"}


@pytest.mark.django_db
def test_a_machine_that_slept_gives_no_alarm_for_the_time_before_its_start(
    redis_client: redis.Redis,
) -> None:
    beat(redis_client, *ALL, age=3000)
    assert Watcher(NOW).check(after(10)) == {}


@pytest.mark.django_db
def test_without_redis_that_is_the_fault_and_its_return_gives_the_others_time(
    redis_client: redis.Redis, settings
) -> None:
    good = settings.REDIS_URL
    watcher = Watcher(NOW)
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    assert watcher.check(after(15)) == {}
    assert watcher.check(after(100)) == {}
    assert list(watcher.check(after(110))) == ["redis"]
    assert open_keys() == {"silent:redis"}

    settings.REDIS_URL = good
    assert watcher.check(after(125)) == {}
    assert open_keys() == set()


@pytest.fixture
def hook(settings) -> Iterator[Hook]:
    with receiver() as found:
        settings.NOTIFY_URLS = [found.url]
        yield found


@pytest.mark.django_db(transaction=True)
def test_the_web_process_delivers_one_message_itself_when_everything_else_is_dead(
    hook: Hook, settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    settings.HEARTBEAT_DEADLINE = 0.5
    monkeypatch.setattr("incidents.outbox.FREEZE_GRACE", timedelta())
    threads = [WatcherThread(), WatcherThread()]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: hook.titles, 20, "the message arrives")
        calls = hook.calls
        thread_looks = threads[0].period_s * 5
        deadline = time.monotonic() + thread_looks
        wait_until(lambda: time.monotonic() > deadline, thread_looks + 1)
    finally:
        for thread in threads:
            thread.stop()
            thread.join(10)
    assert (len(hook.titles), hook.calls) == (1, calls)
    assert "redis" in hook.titles[0]
    assert Incident.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_web_process_takes_the_audit_s_anchor_along(
    redis_client: redis.Redis, settings, tmp_path: Path
) -> None:
    for name in ALL:
        heartbeat.write(name, redis_client)
    settings.DATA_DIR = tmp_path / "worker"
    settings.DATA_DIR.mkdir()
    entry = audit.record(action="incident.open", actor=None, target="INC-1")
    settings.DATA_DIR = tmp_path
    thread = WatcherThread()
    thread.period_s = 0.05
    thread.start()
    try:
        wait_until(audit_anchor.read, 20, "the anchor is there")
    finally:
        thread.stop()
        thread.join(10)
    assert audit_anchor.read() == audit_anchor.Anchor(entry.seq, entry.mac)


@pytest.mark.django_db
def test_the_workers_task_looks_too(redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchers, "_own", Watcher(datetime.now(UTC) - timedelta(hours=1)))
    for name in ALL:
        heartbeat.write(name, redis_client)
    app.tasks["portal.watch"].apply()
    assert not Incident.objects.exists()
    beat(redis_client, "beat", age=120)
    app.tasks["portal.watch"].apply()
    assert open_keys() == {"silent:beat"}
