"""Bonghwa watched by itself, as a user runs it: the self-test's seconds, and what is told of dead parts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conditions import wait_until
from tests.e2e.product import Product
from tests.incidents.hook import Hook, receiver

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
DEADLINE_S = 20
WATCHED = ("beat", "worker-collect", "worker-ops")


@pytest.fixture
def hook() -> Iterator[Hook]:
    with receiver() as found:
        yield found


@pytest.fixture
def told(tmp_path: Path, hook: Hook) -> Iterator[Product]:
    """A product that tells ``hook``."""
    running = Product(tmp_path / "data", NOTIFY_URLS=hook.url, HEARTBEAT_DEADLINE=str(DEADLINE_S))
    running.start()
    yield running
    running.close()


def test_the_alarm_works_and_dead_beat_and_workers_are_told_once(told: Product, hook: Hook) -> None:
    tested = json.loads(told.manage("selftest", "--json"))
    assert tested["state"] == "passed", tested
    assert tested["delivered_after_s"] < 60
    wait_until(lambda: len(hook.titles) == 2, 30, "the exercise and its end were told")
    real = {one["number"] for one in told.status()["incidents"]}

    for name in WATCHED:
        told.supervise("stopProcess", name)
    wait_until(lambda: len(hook.titles) > 2, 120, "somebody tells of it although no worker runs", every=0.5)

    assert not told.ready()
    assert any(part in hook.titles[2] for part in ("beat", "worker:collect", "worker:ops"))
    (new,) = [one for one in told.status()["incidents"] if one["number"] not in real]
    assert (new["state"], new["severity"]) == ("detected", "critical")

    for name in WATCHED:
        told.supervise("startProcess", name)
    wait_until(told.ready, 60, "everything is well again")
    assert len(hook.titles) == 3, "one message for one cause"
