"""``/api/v1/`` and ``status --json`` tell the same, to viewers only."""

from __future__ import annotations

import json
from io import StringIO

import pytest
import redis
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from gateway.status import FeedState
from tests.dashboard import world

pytestmark = pytest.mark.django_db
PATHS = ("gateway", "services", "incidents", "checklist")
SHAPES = {
    "gateway": {"key", "state", "attempts", "next_retry_s", "connections"},
    "services": {
        *("name", "runtime", "state", "health", "failing_streak", "cpu_percent", "memory_bytes"),
        *("log_lines_per_s", "age_s"),
    },
    "incidents": {"number", "title", "severity", "state", "services", "opened_at", "resolved_at"},
    "checklist": {"incident", "item", "state", "verifier", "observed"},
}


@pytest.fixture
def seed(redis_client: redis.Redis) -> None:
    now = timezone.now()
    world.seed_services(now)
    world.incident(now)
    world.publish(redis_client, FeedState.RECONNECTING, attempts=3, next_retry_s=8.0)


def printed() -> dict[str, list[dict[str, object]]]:
    out = StringIO()
    call_command("status", "--json", stdout=out)
    found: dict[str, list[dict[str, object]]] = json.loads(out.getvalue())
    return found


@pytest.mark.usefixtures("seed")
def test_status_prints_the_contract() -> None:
    state = printed()

    assert set(state) == set(SHAPES)
    for name, shape in SHAPES.items():
        assert state[name]
        assert all(set(row) == shape for row in state[name])
    (upstream,) = state["gateway"]
    assert (upstream["key"], upstream["state"], upstream["attempts"]) == ("key-1", "reconnecting", 3)
    broken = next(row for row in state["services"] if row["name"] == "api-gateway")
    assert (broken["failing_streak"], broken["cpu_percent"]) == (397, 102.8)


@pytest.mark.usefixtures("seed")
def test_the_api_tells_a_viewer_the_same(client: Client) -> None:
    client.force_login(world.person("alice", "viewer"))
    state = printed()

    for name in PATHS:
        answer = client.get(f"/api/v1/{name}")
        assert answer.status_code == 200
        rows = [{key: value for key, value in row.items() if key != "age_s"} for row in answer.json()]
        wanted = [{key: value for key, value in row.items() if key != "age_s"} for row in state[name]]
        for row in [*rows, *wanted]:
            for key in ("opened_at", "resolved_at"):
                row[key] = str(row.get(key) or "")[:19]
        assert rows == wanted


@pytest.mark.parametrize("path", PATHS)
def test_the_api_refuses_strangers_and_people_without_a_role(client: Client, path: str) -> None:
    assert client.get(f"/api/v1/{path}").status_code == 401

    client.force_login(User.objects.create_user("bob"))
    assert client.get(f"/api/v1/{path}").status_code == 401


def test_the_documentation_is_at_its_path(client: Client) -> None:
    client.force_login(world.person("alice", "viewer"))

    assert client.get("/api/docs").status_code == 200
    assert client.get("/api/v1/openapi.json").status_code == 200


def test_metrics_are_for_this_machine_and_for_viewers(client: Client, redis_client: redis.Redis) -> None:
    world.seed_services(timezone.now())
    world.publish(redis_client)

    text = client.get("/metrics").content.decode()
    assert 'bonghwa_gateway_state{slot="key-1",state="live"} 1.0' in text
    assert 'bonghwa_service_failing_streak{runtime="docker",service="api-gateway"} 397.0' in text

    assert client.get("/metrics", REMOTE_ADDR="203.0.113.9").status_code == 403
    assert client.get("/metrics", HTTP_X_FORWARDED_FOR="203.0.113.9").status_code == 403
    client.force_login(world.person("alice", "viewer"))
    assert client.get("/metrics", REMOTE_ADDR="203.0.113.9").status_code == 200
