"""From the Engine's answer to what happened: pure, so that odd orders and lost events are test tables."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from portal.monitoring.runtimes import docker_events
from portal.monitoring.runtimes.base import EventWindow, RuntimeEvent

BASE = datetime(2026, 2, 6, tzinfo=UTC)
ID = "c" * 64


def event(second: float, action: str, runtime_id: str = ID, kind: str = "container", **more: Any) -> bytes:
    """One line as the Engine writes it."""
    nano = int(BASE.timestamp()) * 1_000_000_000 + round(second * 1e9)
    attributes = {"name": "api", "image": "api:1", **more}
    actor = {"ID": runtime_id, "Attributes": attributes}
    return json.dumps({"Type": kind, "Action": action, "Actor": actor, "timeNano": nano}).encode()


def window(*lines: bytes, since: float = 0, until: float = 100) -> EventWindow:
    """What is read of these lines."""
    start, end = BASE + timedelta(seconds=since), BASE + timedelta(seconds=until)
    return docker_events.window(docker_events.parse(b"\n".join(lines)), since=start, until=end)


def last(*lines: bytes) -> RuntimeEvent:
    """The last event of these lines."""
    return window(*lines).events[-1]


@pytest.mark.parametrize(
    ("before", "code", "on_purpose"),
    [
        ([], "1", False),
        ([], "137", False),
        ([event(1, "kill", signal="15")], "143", True),
        ([event(1, "kill", signal="15")], "0", True),
        ([event(1, "kill", signal="SIGTERM")], "1", True),
        ([event(1, "kill", signal="15"), event(11, "kill", signal="9")], "137", True),
        ([event(1, "kill", signal="2")], "130", True),
        ([event(1, "kill", signal="1")], "1", False),
        ([event(1, "kill", signal="SIGUSR1")], "139", False),
        ([event(1, "kill", "d" * 64, signal="15")], "143", False),
        ([event(-60, "kill", signal="15")], "1", False),
        ([event(1, "kill", signal="15"), event(2, "oom")], "137", False),
    ],
    ids=[
        "crash", "killed by the kernel", "stopped", "stopped cleanly", "stopped, ended with an error",
        "stopped by force", "interrupted", "crash after a reload", "crash after a signal of its own",
        "another one was stopped", "stopped long before", "out of memory while stopping",
    ],
)  # fmt: skip
def test_an_end_is_on_purpose_only_when_somebody_asked_for_it(
    before: list[bytes], code: str, on_purpose: bool
) -> None:
    ended = last(*before, event(12, "die", exitCode=code))
    assert (ended.action, ended.exit_code, ended.on_purpose) == ("die", int(code), on_purpose)


def test_health_carries_its_verdict() -> None:
    assert last(event(1, "health_status: unhealthy")).health == "unhealthy"
    assert last(event(1, "health_status: unhealthy")).action == "health_status"


def test_only_what_happens_to_containers_is_kept_and_oldest_comes_first() -> None:
    found = window(
        event(3, "die", exitCode="1"),
        event(2, "oom"),
        event(1, "start"),
        event(1, "start", kind="plugin"),
        event(1, "exec_die: sh", exitCode="1"),
        event(1, "attach"),
        event(4, "destroy"),
    )
    assert [one.action for one in found.events] == ["start", "oom", "die", "destroy"]


def test_the_same_event_has_the_same_key_and_others_have_others() -> None:
    again = [last(event(1, "start")).key, last(event(0.5, "oom"), event(1, "start")).key]
    others = [last(event(1, "die")).key, last(event(1.000000001, "start")).key]
    others.append(last(event(1, "start", "d" * 64)).key)
    assert again[0] == again[1]
    assert len({again[0], *others}) == 4


def test_a_full_memory_that_does_not_reach_back_to_the_cursor_may_have_lost_something() -> None:
    full = [event(10 + n / 1000, "exec_start: sh") for n in range(docker_events.RING)]
    assert window(*full, since=5).lost
    assert not window(*full, since=10.5).lost
    assert not window(*full[1:], since=5).lost


def test_hostile_and_broken_lines_are_bounded_or_left_out() -> None:
    name = "\x1b[31m" + "n" * 5000
    found = window(
        b"not json", b"[]", b'{"timeNano": "x"}', b'{"Action": "die"}',
        event(1, "die", name=name, exitCode="9" * 40), event(2, "start")[:-20],
    )  # fmt: skip
    (ended,) = found.events
    assert len(ended.name) <= 200
    assert "\x1b" not in ended.name
    assert ended.exit_code == 2**31 - 1


def test_the_last_end_decides_and_a_stop_after_it_counts() -> None:
    crash, stop = event(5, "die", exitCode="1"), event(6, "stop")
    assert docker_events.asked(b"") is None
    assert docker_events.asked(crash) is False
    assert docker_events.asked(crash + b"\n" + stop) is True
    assert (
        docker_events.asked(event(1, "kill", signal="15") + b"\n" + event(2, "die", exitCode="143")) is True
    )
