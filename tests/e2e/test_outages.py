"""Redis, the database and the channel die under a running product: unknown is shown, and all is told once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conditions import wait_until
from tests.e2e.product import Product
from tests.incidents.hook import Hook, receiver

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
FAULTY = "looper"
#: A reading older than this is shown as unknown (s), with a look each two seconds.
STALE_S = 45.0


@pytest.fixture
def hook() -> Iterator[Hook]:
    with receiver() as found:
        yield found


@pytest.fixture
def told(tmp_path: Path, hook: Hook) -> Iterator[Product]:
    """A product that tells ``hook``; its own watcher stays out of this."""
    running = Product(tmp_path / "data", NOTIFY_URLS=hook.url, WATCHER="false", HEARTBEAT_DEADLINE="600")
    running.start()
    yield running
    running.close()


def states(product: Product) -> set[str]:
    """The states of the product's own processes, as shown."""
    return {one["state"] for one in product.status()["services"] if one["name"] != FAULTY}


def about(hook: Hook) -> list[str]:
    """Titles of the messages about the fault."""
    return [title for title in hook.titles if FAULTY in title]


def test_nothing_is_lost_or_doubled_when_redis_the_channel_and_the_database_die(
    told: Product, hook: Hook
) -> None:
    wait_until(lambda: states(told) == {"running"}, 60, "everything was swept", every=1)
    told.supervise("stopProcess", "valkey")
    wait_until(lambda: states(told) == {"unknown"}, STALE_S + 30, "unknown is shown without Redis", every=2)
    assert httpx.get(f"{told.url}/status/", timeout=10).status_code == 200
    assert not told.ready()

    hook.answers = [500, 500]
    told.supervise("startProcess", "valkey")
    wait_until(told.ready, 90, "everything is well again", every=0.5)
    wait_until(lambda: states(told) == {"running"}, 60, "services are known again", every=1)
    told.add_program(FAULTY, "/bin/sh -c 'sleep 2; exit 3'")
    wait_until(lambda: about(hook), 120, "the fault is told when the channel takes messages", every=0.5)
    assert hook.answers == [], "the channel refused twice before"

    database = sqlite3.connect(told.folder / "bonghwa.sqlite3", timeout=30, isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    try:
        wait_until(lambda: "unknown" in states(told), STALE_S + 30, "unknown without the database", every=2)
    finally:
        database.execute("ROLLBACK")
        database.close()
    wait_until(lambda: states(told) == {"running"}, 90, "services are known again", every=1)

    incidents = [one for one in told.status()["incidents"] if FAULTY in one["services"]]
    assert len(incidents) == 1
    assert len(about(hook)) == 1, hook.titles
