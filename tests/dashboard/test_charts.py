"""The chart's endpoint: ranges, refusals, bounded answers, escaped text; and the page around it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import redis
from django.test import Client
from django.utils import timezone

from portal.monitoring import history
from portal.monitoring.models import Observation, Service, ServiceHour, ServiceMinute
from tests.dashboard import world

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client")]


@pytest.fixture
def service() -> Service:
    return world.service("api", timezone.now())


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(world.person("alice", "viewer"))
    return client


def url(service: Service, query: str = "") -> str:
    return f"/services/{service.pk}/chart/?{query}"


def test_only_viewers_get_it(client: Client, service: Service) -> None:
    assert client.get(url(service)).status_code == 302


@pytest.mark.parametrize("span", ["1h", "6h", "24h", "7d", "30d"])
def test_every_range_answers_with_few_points_and_queries(
    viewer: Client, service: Service, span: str, django_assert_max_num_queries
) -> None:
    now = timezone.now()
    Observation.objects.bulk_create(
        Observation(service=service, at=now - timedelta(seconds=5 * n), cpu_percent=1, memory_bytes=1)
        for n in range(720)
    )
    values: dict[str, Any] = {"service": service, "samples": 1, "cpu_percent_mean": 1, "cpu_percent_max": 2}
    ServiceMinute.objects.bulk_create(
        ServiceMinute(at=now - timedelta(minutes=number), **values) for number in range(1500)
    )
    ServiceHour.objects.bulk_create(
        ServiceHour(at=now - timedelta(hours=number), **values) for number in range(720)
    )
    with django_assert_max_num_queries(12):
        answer = viewer.get(url(service, f"range={span}"))
    data = answer.json()
    assert 100 < len(data["at"]) <= history.POINTS_MAX
    assert set(data["series"]) == {"cpu", "memory", "log", "streak"}
    assert len(data["series"]["cpu"]["max"]) == len(data["at"])
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "query",
    ["range=1y", "from=1", "from=x&to=y", "from=2000&to=1000", "from=nan&to=inf", "from=0&to=1e300", "to=5"],
)
def test_a_wrong_window_is_refused_in_words(viewer: Client, service: Service, query: str) -> None:
    answer = viewer.get(url(service, query))
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_missing_service_is_404(viewer: Client) -> None:
    assert viewer.get("/services/999/chart/").status_code == 404


def test_a_service_without_history_has_no_points(viewer: Client, service: Service) -> None:
    data = viewer.get(url(service, "range=30d")).json()
    assert (data["at"], data["events"], data["probes"]) == ([], [], [])


def test_the_page_names_the_zone_and_has_a_table_and_buttons(viewer: Client, service: Service) -> None:
    viewer.cookies["django_language"] = "en"
    page = viewer.get(f"/services/{service.pk}/").content.decode()
    assert 'data-zone="KST"' in page
    assert 'data-tz="Asia/Seoul"' in page
    assert page.count("data-range=") == 5
    assert page.count("data-move=") == 5
    assert "The same as a table" in page
    assert "http://cdn" not in page
    assert "https://cdn" not in page


def test_an_incidents_title_comes_as_text(viewer: Client, service: Service) -> None:
    now = timezone.now()
    incident = world.incident(now, "api")
    type(incident).objects.filter(pk=incident.pk).update(title="<img src=x onerror=alert(1)>")
    (event,) = viewer.get(url(service)).json()["events"]
    assert event["url"] == "/incidents/7/"
    assert "<img" in event["text"], "data, which the page writes as text"


def test_redis_is_not_needed(viewer: Client, service: Service, redis_client: redis.Redis, settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert viewer.get(url(service)).status_code == 200
