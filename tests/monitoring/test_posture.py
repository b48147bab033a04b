"""Each check over a container's configuration: good, bad, or not applicable."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from portal.monitoring.posture import BY_KEY, CHECKS, Container, answers

MIB = 1024 * 1024
GOOD: dict[str, Any] = {
    "limits": {"cpu_cores": 1.0, "memory_bytes": 256 * MIB},
    "log_options": {"driver": "json-file", "max-size": "10m", "max-file": "3"},
    "health_check": {"defined": True, "interval_s": 30.0, "timeout_s": 5.0},
    "restart_policy": "on-failure",
    "restart_limit": 5,
    "user": "1000:1000",
    "privileged": False,
    "engine_socket": False,
}
SLOW = {"defined": True, "interval_s": 5.0, "timeout_s": 5.0}


def container(restarts: int = 0, **changes: Any) -> Container:
    return Container(name="api-gateway", config=GOOD | changes, restarts=restarts, memory_bytes=300 * MIB)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.key)
def test_a_good_container_passes_every_check(check: Any) -> None:
    assert check.ask(container()) is True


@pytest.mark.parametrize(
    ("key", "one", "verdict"),
    [
        ("memory_limit", container(limits={"cpu_cores": 1.0, "memory_bytes": None}), False),
        ("cpu_limit", container(limits={"memory_bytes": 1}), False),
        ("log_rotation", container(log_options={"driver": "json-file"}), False),
        ("log_rotation", container(log_options={"driver": "json-file", "max-size": "-1"}), False),
        ("log_rotation", container(log_options={"driver": "local"}), True),
        ("log_rotation", container(log_options={"driver": "syslog"}), None),
        ("health_check", container(health_check={"defined": False}), False),
        ("health_timeout", container(health_check=SLOW), False),
        ("health_timeout", container(health_check={"defined": False}), None),
        ("restart_policy", container(restarts=3, restart_policy="always"), False),
        ("restart_policy", container(restarts=2, restart_policy="always"), True),
        ("restart_policy", container(restarts=9, restart_policy="on-failure", restart_limit=None), False),
        ("restart_policy", container(restarts=9), True),
        ("root", container(user=""), False),
        ("root", container(user="0:0"), False),
        ("root", container(user="root"), False),
        ("privileged", container(privileged=True), False),
        ("engine_socket", container(engine_socket=True), False),
        ("engine_socket", container(engine_socket=True, labels={"bonghwa.socket-proxy": "true"}), None),
        ("engine_socket", container(engine_socket=True, labels={"bonghwa.socket-proxy": "no"}), False),
    ],
)  # fmt: skip
def test_each_check(key: str, one: Container, verdict: bool | None) -> None:
    assert BY_KEY[key].ask(one) is verdict


def test_what_an_older_sweep_did_not_keep_is_not_judged() -> None:
    old = Container(name="x", config={"limits": {}})
    assert [BY_KEY[key].ask(old) for key in ("root", "privileged", "engine_socket")] == [None] * 3


def test_answers_count_and_leave_out_what_applies_to_none() -> None:
    bad = container(limits={}, health_check={"defined": False})
    found = {answer.check.key: answer for answer in answers([container(), bad])}
    assert (found["memory_limit"].asked, found["memory_limit"].bad) == (2, (bad,))
    assert (found["health_timeout"].asked, found["health_timeout"].bad) == (1, ())
    assert answers([]) == ()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.key)
@pytest.mark.parametrize("name", ["api-gateway", "x: {evil: 1}\n#", "<b>"])
def test_each_fix_is_a_piece_of_a_compose_file(check: Any, name: str) -> None:
    one = Container(name=name, config={}, memory_bytes=300 * MIB)
    (service,) = yaml.safe_load(check.fix(one))["services"]
    assert service == (name if name == "api-gateway" else "SERVICE")
    assert check.seen(one)


def test_the_suggested_limit_is_twice_what_is_in_use() -> None:
    assert "mem_limit: 1g" in BY_KEY["memory_limit"].fix(container())
