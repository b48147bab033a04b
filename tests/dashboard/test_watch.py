"""The page about Bonghwa itself, and its one button."""

from __future__ import annotations

from datetime import timedelta

import pytest
import redis
from django.test import Client
from django.utils import timezone

from incidents.models import Channel
from portal import heartbeat
from portal.monitoring import tasks
from portal.monitoring.models import SelfTest, SelfTestState
from tests.dashboard import world
from tests.services import free_port

pytestmark = pytest.mark.django_db


def page(client: Client) -> str:
    client.cookies["django_language"] = "en"
    answer = client.get("/watch/")
    assert answer.status_code == 200
    return answer.content.decode()


def test_it_shows_parts_heartbeats_tests_and_tables(client: Client, redis_client: redis.Redis) -> None:
    client.force_login(world.person("alice", "viewer"))
    heartbeat.write("worker:ops@box")
    tasks.measure_tables()
    now = timezone.now()
    SelfTest.objects.create(
        started_at=now, ended_at=now, state=SelfTestState.LATE, delivered_after_s=71.5, detail="<too> slow"
    )

    shown = page(client)

    for text in ("no heartbeat", "worker:ops@box", "Too slow", "71.5", "&lt;too&gt; slow"):
        assert text in shown
    for text in ("monitoring_observation", "kept 48 hours", "kept 14 days", "kept 400 days"):
        assert text in shown
    assert "Test the alarm now" not in shown


def test_it_opens_without_redis(client: Client, settings) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    client.force_login(world.person("alice", "viewer"))
    assert "unknown: Redis does not answer" in page(client)


def test_it_takes_few_queries(
    client: Client, redis_client: redis.Redis, django_assert_max_num_queries
) -> None:
    client.force_login(world.person("alice", "viewer"))
    for _number in range(30):
        SelfTest.objects.create(started_at=timezone.now(), state=SelfTestState.PASSED)
    with django_assert_max_num_queries(12):
        page(client)


def test_only_an_operator_starts_a_self_test_and_is_named(client: Client, redis_client: redis.Redis) -> None:
    client.force_login(world.person("alice", "viewer"))
    assert client.post("/watch/self-test/").status_code == 403
    assert not SelfTest.objects.exists()

    operator = world.person("carol", "operator")
    client.force_login(operator)
    assert client.get("/watch/self-test/").status_code == 405
    assert "Test the alarm now" in page(client)
    assert client.post("/watch/self-test/", follow=True).status_code == 200
    assert SelfTest.objects.get().requested_by == operator
    assert client.post("/watch/self-test/", follow=True).status_code == 200
    assert SelfTest.objects.count() == 1, "one at a time"


def test_every_page_says_that_the_last_self_test_failed(client: Client, redis_client: redis.Redis) -> None:
    now = timezone.now()
    client.force_login(world.person("alice", "viewer"))
    client.cookies["django_language"] = "en"
    Channel.objects.create(name="phone")
    failed = SelfTest.objects.create(started_at=now, ended_at=now, state=SelfTestState.FAILED)
    SelfTest.objects.create(started_at=now, state=SelfTestState.RUNNING)
    notice = "The last self-test of the alarm"
    for path in ("/", "/incidents/", "/watch/"):
        assert notice in client.get(path).content.decode(), path

    failed.started_at -= timedelta(days=7)
    failed.save()
    SelfTest.objects.filter(state=SelfTestState.RUNNING).update(state=SelfTestState.PASSED)
    assert notice not in client.get("/").content.decode()
    client.logout()
    assert notice not in client.get("/login/").content.decode()


def test_what_is_said_of_parts_is_korean_on_a_korean_page(client: Client, redis_client: redis.Redis) -> None:
    heartbeat.write("beat")
    client.force_login(world.person("alice", "viewer"))
    client.cookies["django_language"] = "ko"
    shown = client.get("/watch/").content.decode()
    for text in ("응답함", "하트비트 정상", "하트비트 없음", "실행 중인 게이트웨이 없음"):
        assert text in shown
    for text in ("answers", "no heartbeat", "no gateway runs"):
        assert text not in shown
