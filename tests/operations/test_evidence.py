"""What is frozen when an incident opens: the agreed JSON, live where possible, masked and cleaned always."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import redis
from django.conf import settings as configured
from django.utils import timezone

from gateway import keys
from gateway.status import FeedState, GatewayStatus
from incidents.models import EvidenceKind
from incidents.registry import Captured, collectors
from portal.monitoring import store
from portal.monitoring.models import Endpoint, LogTemplate, ProbeKind, Service
from portal.operations import evidence
from tests.conditions import wait_until
from tests.monitoring.labs import DockerLab
from tests.monitoring.stage import NAME, NOW, Stage, failing
from tests.operations.conftest import known

pytestmark = pytest.mark.django_db

TALK = (
    "i=0; while [ $i -lt 40 ]; do i=$((i+1)); "
    "printf '\\033[31mWebSocket timeout %d, authorization: Bearer hunter2hunter2\\033[0m\\n' $i; done; "
    "while true; do sleep 1; done"
)


def only(captured: Iterable[Captured], kind: EvidenceKind) -> dict[str, Any]:
    """The data of the single bundle, which must be JSON without a secret or an escape sequence."""
    (one,) = captured
    assert one.kind is kind
    text = orjson.dumps(one.data).decode()
    assert "hunter2" not in text
    assert "\\u001b" not in text
    return dict(one.data)


def test_every_kind_is_registered() -> None:
    assert {"metrics", "inspect", "health", "logs", "probes", "gateway"} <= set(collectors())


def test_metrics_hold_the_latest_values_the_history_and_the_other_services() -> None:
    stage, other = Stage(), Stage("worker")
    for percent in (10.0, 50.0, 103.0):
        reading = stage.reading(failing(7), cpu_percent=percent)
        stage.swept([reading, other.reading()])
    data = only(evidence.metrics([NAME], stage.at), EvidenceKind.METRICS)

    assert set(data) >= {
        "service", "runtime", "state", "exit_code", "health", "failing_streak", "health_interval_s",
        "cpu_percent", "cpu_limit_cores", "memory_bytes", "memory_limit_bytes", "restart_count",
        "log_lines_per_s", "log_rate_is_lower_bound", "log_lines_total", "series", "others",
    }  # fmt: skip
    assert (data["service"], data["failing_streak"], data["cpu_percent"]) == (NAME, 7, 103.0)
    assert [row["cpu_percent"] for row in data["series"]] == [10.0, 50.0, 103.0]
    assert datetime.fromisoformat(data["series"][0]["at"]) == NOW
    assert [row["service"] for row in data["others"]] == ["worker"]
    assert set(data["others"][0]) == {"service", "state", "health", "cpu_percent", "memory_bytes"}


def test_history_is_bounded_in_time_and_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    stage.sweep()
    stage.at = NOW + timedelta(minutes=31)
    for _sweep in range(6):
        stage.sweep()
    assert len(only(evidence.metrics([NAME], stage.at), EvidenceKind.METRICS)["series"]) == 6
    monkeypatch.setattr(evidence, "MAX_SERIES", 4)
    series = only(evidence.metrics([NAME], stage.at), EvidenceKind.METRICS)["series"]
    assert len(series) == 4
    assert series[0]["restart_count"] == 0
    assert datetime.fromisoformat(series[-1]["at"]) == stage.at - timedelta(seconds=5), "the newest are kept"


@pytest.mark.docker
def test_configuration_is_the_running_containers_without_a_value_of_its_environment(
    containers: DockerLab,
) -> None:
    known(
        containers.start(
            TALK,
            nano_cpus=500_000_000,
            mem_limit="64m",
            environment={"API_SECRET": "hunter2"},
            labels={"token": "hunter2", "team": "a"},
        )
    )
    data = only(evidence.configuration([NAME], timezone.now()), EvidenceKind.INSPECT)

    assert data["limits"]["cpu_cores"] == 0.5
    assert data["limits"]["memory_bytes"] == 64 * 1024 * 1024
    assert data["log_options"]["driver"]
    assert data["restart_policy"] == "no"
    assert "API_SECRET" in data["env_names"]
    assert (data["labels"]["token"], data["labels"]["team"]) == ("[secret]", "a")
    assert set(data) >= {"service", "image", "health_check"}


@pytest.mark.docker
def test_health_is_the_containers_own_log_of_checks(containers: DockerLab) -> None:
    runtime_id = containers.start(TALK, check=False)
    service = known(runtime_id)
    runtime = containers.runtime()
    wait_until(lambda: runtime.health(runtime_id).failing_streak >= 3)
    data = only(evidence.health([service.name], timezone.now()), EvidenceKind.HEALTH)

    assert (data["service"], data["status"], data["interval_s"]) == (NAME, "unhealthy", 1.0)
    assert data["failing_streak"] >= 3
    assert data["log"][-1]["exit_code"] == 1
    assert data["log"][-1]["output"].strip() == "token=[secret] refused"
    assert datetime.fromisoformat(data["log"][-1]["at"]).tzinfo == UTC


@pytest.mark.docker
def test_logs_are_the_newest_lines_and_their_templates(containers: DockerLab) -> None:
    runtime_id = containers.start(TALK)
    known(runtime_id)
    runtime = containers.runtime()
    wait_until(lambda: len(runtime.logs(runtime_id, cursor="").lines) == 40)
    data = only(evidence.logs([NAME], timezone.now()), EvidenceKind.LOGS)

    line = "WebSocket timeout {}, authorization: [secret]"
    assert data["tail"] == [line.format(n) for n in range(1, 41)]
    assert data["lines_total"] == 40
    assert data["templates"] == [
        {"template": line.format("<n>"), "count": 40, "share": 1.0, "sample": line.format(40)}
    ]
    assert data["window_s"] == 600


def test_without_an_engine_what_was_stored_is_frozen_and_marked_partial(settings) -> None:
    settings.DOCKER_HOST = "unix:///nowhere/sock"
    service = known("id", health="unhealthy", failing_streak=9, health_output="refused", log_window={"1": 8})
    LogTemplate.objects.create(
        service=service,
        fingerprint="f",
        template="t <n>",
        sample="t 1",
        count=6,
        first_seen=NOW,
        last_seen=NOW,
    )
    for collector in (evidence.configuration, evidence.health, evidence.logs):
        (one,) = collector([NAME], timezone.now())
        assert one.partial
        assert "Docker Engine does not answer" in one.note

    health = only(evidence.health([NAME], NOW), EvidenceKind.HEALTH)
    assert (health["failing_streak"], health["log"][0]["output"]) == (9, "refused")
    logs = only(evidence.logs([NAME], NOW), EvidenceKind.LOGS)
    assert (logs["tail"], logs["templates"][0]["share"]) == ([], 0.75)


def test_probes_put_the_incidents_own_endpoints_first_and_mask_their_addresses() -> None:
    Stage().sweep()
    service = Service.objects.get()
    Endpoint.objects.create(name="a other", kind=ProbeKind.HTTP, url="http://user:hunter2@127.0.0.1/")
    Endpoint.objects.create(
        name="z own", kind=ProbeKind.WEBSOCKET, url="ws://127.0.0.1/ws", service=service, ok=False, at=NOW
    )
    rows = only(evidence.probes([NAME], NOW), EvidenceKind.PROBES)["endpoints"]

    assert [row["name"] for row in rows] == ["z own", "a other"]
    assert set(rows[0]) >= {"name", "kind", "vantage", "url", "ok", "detail", "latency_ms", "at"}
    assert (rows[0]["ok"], rows[0]["at"], rows[1]["ok"]) == (False, NOW.isoformat(), None)


def test_without_endpoints_there_is_no_probe_evidence() -> None:
    assert list(evidence.probes([NAME], NOW)) == []


def test_the_gateways_evidence_holds_its_status_and_attempts(redis_client: redis.Redis) -> None:
    slot = configured.GATEWAY_UPSTREAM.keys[0].slot
    status = GatewayStatus(
        slot=slot, at=1.0, session="BACKOFF", feed=FeedState.RECONNECTING, since=0.0, attempts=3,
        last_error="\x1b[31mrefused, token=hunter2",
    )  # fmt: skip
    redis_client.set(keys.STATUS.format(slot=slot), status.encode())
    attempt = {"at": 1.0, "number": 3, "delay_before": 4.0, "outcome": "refused"}
    redis_client.lpush(keys.ATTEMPTS.format(slot=slot), orjson.dumps(attempt))
    (row,) = only(evidence.gateway([], NOW), EvidenceKind.GATEWAY)["slots"]

    assert (row["slot"], row["feed"], row["last_error"]) == (slot, "reconnecting", "refused, token=[secret]")
    assert row["attempts_count"] == 3
    assert [(one["number"], one["outcome"]) for one in row["attempts"]] == [(3, "refused")]


def test_without_redis_the_gateways_evidence_is_partial(settings) -> None:
    store.client.cache_clear()
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    try:
        (one,) = evidence.gateway([], NOW)
    finally:
        store.client.cache_clear()
    assert one.partial
    assert one.data == {"slots": []}
    assert "Redis" in one.note
