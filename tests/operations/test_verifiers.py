"""The verifiers against real containers: what runs decides, and what cannot be seen is unknown."""

from __future__ import annotations

from typing import Any

import pytest
from docker.types import LogConfig

from incidents.models import Outcome
from incidents.registry import verifiers
from portal.monitoring.models import RuntimeKind, Service
from portal.operations.verifiers import METHOD, health_check, limits, log_options
from tests.monitoring.labs import DockerLab
from tests.operations.conftest import known

pytestmark = pytest.mark.django_db

IDLE = "while true; do sleep 1; done"
CPUS = 1_000_000_000
LIMITS = {"cpus": 1.0, "memory": "2g"}
ROTATION = {"max-size": "10m", "max-file": 3}


def rotating(driver: str = "json-file", **options: str) -> dict[str, Any]:
    """A container's log options."""
    return {"log_config": LogConfig(type=driver, config={k.replace("_", "-"): v for k, v in options.items()})}


@pytest.mark.docker
@pytest.mark.parametrize(
    ("options", "outcome", "observed"),
    [
        ({"nano_cpus": CPUS, "mem_limit": "2g"}, Outcome.PASS, ["1.0", "2.0 GiB"]),
        ({"nano_cpus": CPUS // 2, "mem_limit": "512m"}, Outcome.PASS, ["0.5", "0.5 GiB"]),
        ({"cpu_quota": 50_000, "cpu_period": 100_000, "mem_limit": "1g"}, Outcome.PASS, ["0.5", "1.0 GiB"]),
        ({"nano_cpus": 2 * CPUS, "mem_limit": "2g"}, Outcome.FAIL, ["2.0", "2.0 GiB"]),
        ({"nano_cpus": CPUS, "mem_limit": "3g"}, Outcome.FAIL, ["1.0", "3.0 GiB"]),
        ({"nano_cpus": CPUS}, Outcome.FAIL, ["1.0"]),
        ({"mem_limit": "1g"}, Outcome.FAIL, ["1.0 GiB"]),
        ({}, Outcome.FAIL, []),
    ],
    ids=["at both", "below both", "as a quota", "CPU over", "memory over", "no memory", "no CPU", "none"],
)
def test_limits_of_the_running_container_decide(
    containers: DockerLab, options: dict[str, Any], outcome: Outcome, observed: list[str]
) -> None:
    known(containers.start(IDLE, **options))
    verdict = limits("api-gateway", LIMITS)

    assert (verdict.outcome, verdict.method) == (outcome, METHOD)
    assert [part for part in observed if part not in verdict.observed] == []


@pytest.mark.docker
@pytest.mark.parametrize(
    ("options", "outcome"),
    [
        (rotating(max_size="10m", max_file="3"), Outcome.PASS),
        (rotating(max_size="500k"), Outcome.PASS),
        (rotating(max_size="11m", max_file="3"), Outcome.FAIL),
        (rotating(max_size="10m", max_file="4"), Outcome.FAIL),
        (rotating(), Outcome.FAIL),
        (rotating("local"), Outcome.FAIL),
        (rotating("local", max_size="10m", max_file="2"), Outcome.PASS),
        (rotating("none"), Outcome.PASS),
        (rotating("syslog", syslog_address="udp://127.0.0.1:9"), Outcome.UNKNOWN),
    ],
    ids=[
        "at both", "below", "size over", "files over", "no size", "local", "local, smaller", "none", "syslog"
    ],
)  # fmt: skip
def test_log_options_of_the_running_container_decide(
    containers: DockerLab, options: dict[str, Any], outcome: Outcome
) -> None:
    known(containers.start(IDLE, **options))
    assert log_options("api-gateway", ROTATION).outcome is outcome


@pytest.mark.docker
def test_a_health_check_of_the_running_container_counts_whatever_it_says(containers: DockerLab) -> None:
    known(containers.start(IDLE, check=False), "sick")
    known(containers.start(IDLE), "blind")
    assert [health_check(name, {}).outcome for name in ("sick", "blind")] == [Outcome.PASS, Outcome.FAIL]


@pytest.mark.docker
@pytest.mark.parametrize("check", [limits, log_options, health_check])
def test_a_container_that_ended_or_went_away_is_unknown(containers: DockerLab, check: Any) -> None:
    over = containers.start(IDLE, nano_cpus=CPUS, mem_limit="1g")
    known(over)
    containers.stop(over)
    assert check("api-gateway", LIMITS | ROTATION).outcome is Outcome.UNKNOWN

    containers.client.containers.get(over).remove(force=True)
    removed = check("api-gateway", LIMITS | ROTATION)
    assert (removed.outcome, removed.gone) == (Outcome.UNKNOWN, True)


@pytest.mark.docker
@pytest.mark.parametrize(
    ("check", "parameters"),
    [
        (limits, {}),
        (limits, {"cpus": "many", "memory": "2g"}),
        (log_options, {"max-size": "10m", "max-file": None}),
        (log_options, {"max-size": "10m"}),
    ],
)
def test_wrong_parameters_are_unknown_and_say_so(
    containers: DockerLab, check: Any, parameters: dict[str, Any]
) -> None:
    known(containers.start(IDLE, **rotating(max_size="10m", max_file="3")))
    verdict = check("api-gateway", parameters)
    assert verdict.outcome is Outcome.UNKNOWN
    assert verdict.observed


@pytest.mark.parametrize("check", [limits, log_options, health_check])
def test_what_cannot_be_looked_at_is_unknown_with_its_reason(check: Any, settings) -> None:
    settings.DOCKER_HOST = "unix:///nowhere/sock"
    known("id", "unreachable")
    Service.objects.create(
        runtime=RuntimeKind.PROCESS, name="web", discovered_at=Service.objects.get().discovered_at
    )
    verdicts = [check(target, LIMITS | ROTATION) for target in ("unreachable", "web", "nobody", "")]

    assert {verdict.outcome for verdict in verdicts} == {Outcome.UNKNOWN}
    assert len({verdict.observed for verdict in verdicts}) == 4, "each reason is its own"
    assert "Docker Engine does not answer" in verdicts[0].observed
    assert [verdict.gone for verdict in verdicts] == [False, False, True, False]


def test_both_are_registered_with_the_default_parameters() -> None:
    found = verifiers()
    assert found["docker.limits"].defaults == LIMITS
    assert found["docker.log_options"].defaults == ROTATION
