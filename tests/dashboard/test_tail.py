"""Who may open a live log, and what the page gets."""

from __future__ import annotations

import pytest
import redis
from django.test import Client
from django.utils import timezone

from portal.monitoring import store
from portal.monitoring.models import Service
from portal.operations.models import TailOpening
from portal.operations.tail import Buffer
from tests.dashboard import world

pytestmark = pytest.mark.django_db


@pytest.fixture
def service(redis_client: redis.Redis) -> Service:
    return world.service("api-gateway", timezone.now())


def test_an_operator_opens_reads_on_and_closes(client: Client, service: Service) -> None:
    client.force_login(world.person("olga", "operator"))
    assert b"data-tail=" in client.get(f"/services/{service.pk}/").content

    opened = client.post(f"/services/{service.pk}/tail/").json()
    assert (opened["period_s"], opened["max_lines"]) == (2.0, 1000)
    assert TailOpening.objects.get().username == "olga"
    empty = client.get(opened["lines"]).json()
    assert empty == {"seq": 0, "at": None, "lines": [], "missed": 0, "skipped": 0, "error": ""}

    lines = ["<img src=x onerror=alert(1)>", "b", "c"]
    Buffer().add(lines, at=1.5, cursor="", skipped=False, inside=0).save(service.pk)
    answer = client.get(opened["lines"] + "?after=1")
    assert answer.json()["lines"] == ["b", "c"]
    assert answer.headers["Content-Type"] == "application/json"
    assert "no-store" in answer.headers["Cache-Control"]
    assert client.get(opened["lines"] + "?after=²x").json()["seq"] == 3

    assert client.post(opened["close"]).status_code == 204
    assert client.get(opened["lines"]).status_code == 410


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("", 302)])
def test_others_neither_see_nor_open_it(client: Client, service: Service, role: str, status: int) -> None:
    if role:
        client.force_login(world.person("eve", role))
        assert b"data-tail=" not in client.get(f"/services/{service.pk}/").content
    assert client.post(f"/services/{service.pk}/tail/").status_code == status
    assert client.get(f"/services/{service.pk}/tail/1/").status_code == status
    assert client.post(f"/services/{service.pk}/tail/1/close/").status_code == status
    assert not TailOpening.objects.exists()


def test_opening_is_a_post_with_its_token(service: Service) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(world.person("olga", "operator"))
    assert strict.get(f"/services/{service.pk}/tail/").status_code == 405
    assert strict.post(f"/services/{service.pk}/tail/").status_code == 403
    assert strict.post("/services/999999/tail/", headers={"X-CSRFToken": "x"}).status_code == 403


def test_without_redis_it_says_so(client: Client, service: Service, settings) -> None:
    client.force_login(world.person("olga", "operator"))
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    store.client.cache_clear()
    try:
        answer = client.post(f"/services/{service.pk}/tail/")
    finally:
        store.client.cache_clear()
    assert answer.status_code == 503
    assert answer.json()["error"]
