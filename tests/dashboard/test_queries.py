"""The read side: how many queries, what it says when something is away."""

from __future__ import annotations

from datetime import timedelta

import pytest
import redis
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

from portal.dashboard import queries
from portal.dashboard.data import Level
from portal.monitoring.models import RunState
from tests.dashboard import world
from tests.services import free_port

pytestmark = pytest.mark.django_db
#: Queries of a page at most, session and permissions included.
QUERIES_MAX = 12


@pytest.mark.parametrize("services", [1, 100])
def test_the_dashboard_asks_no_more_for_a_hundred_services(
    client: Client,
    redis_client: redis.Redis,
    django_assert_max_num_queries: DjangoAssertNumQueries,
    services: int,
) -> None:
    now = timezone.now()
    for number in range(services):
        world.service(f"svc-{number}", now)
    world.incident(now)
    client.force_login(world.person("alice", "viewer"))

    with django_assert_max_num_queries(QUERIES_MAX):
        answer = client.get("/")

    assert answer.status_code == 200
    assert answer.content.count(b"<tbody") == services


@pytest.mark.parametrize(
    "path",
    ["/services/", "/services/{pk}/", "/incidents/", "/checklist/", "/status/", "/admin/monitoring/alert/"],
)
def test_no_list_asks_more_for_a_hundred_services(
    client: Client,
    redis_client: redis.Redis,
    django_assert_max_num_queries: DjangoAssertNumQueries,
    path: str,
) -> None:
    now = timezone.now()
    created = [world.service(f"svc-{number}", now) for number in range(100)]
    world.incident(now)
    user = world.person("root", "admin")
    user.is_staff = True
    user.save()
    client.force_login(user)

    with django_assert_max_num_queries(QUERIES_MAX):
        assert client.get(path.format(pk=created[0].pk)).status_code == 200


def test_services_come_worst_first_with_their_alerts(redis_client: redis.Redis) -> None:
    now = timezone.now()
    world.seed_services(now)

    rows = queries.service_rows(now)

    assert [row.name for row in rows] == [
        *("api-gateway", "old-cron", "frontend", "postgres", "redis", "batch")
    ]
    assert rows[0].level is Level.CRITICAL
    assert rows[0].incident == 7
    assert rows[0].failing_endpoints == ("ws: 502 Bad Gateway",)
    assert rows[1].level is Level.UNKNOWN


def test_a_service_that_was_never_measured_has_no_data(redis_client: redis.Redis) -> None:
    now = timezone.now()
    created = world.service("new", now)
    created.state.delete()

    (row,) = queries.service_rows(now)

    assert (row.age_s, row.cpu_percent, row.level) == (None, None, Level.UNKNOWN)


def test_a_removed_service_leaves_the_list_after_an_hour(redis_client: redis.Redis) -> None:
    now = timezone.now()
    world.service("just", now, state=RunState.GONE)
    world.service("long", now, state=RunState.GONE, at=now - timedelta(hours=2))

    assert [row.name for row in queries.service_rows(now)] == ["just"]


def test_every_page_still_opens_when_redis_is_away(client: Client, settings: Settings) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    now = timezone.now()
    created = world.seed_services(now)[0]
    world.incident(now)
    client.force_login(world.person("alice", "viewer"))
    client.cookies["django_language"] = "en"

    for path in ("/services/", f"/services/{created.pk}/", "/incidents/", "/incidents/7/", "/checklist/"):
        assert client.get(path).status_code == 200, path
    text = client.get("/").content.decode()
    assert "Unknown: Redis does not answer" in text
    assert client.get("/status/").status_code == 200
