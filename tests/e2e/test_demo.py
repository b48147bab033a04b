"""``make demo-outage`` against the running product: one incident, one report, two messages."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conditions import wait_until
from tests.e2e.product import ROOT, Product
from tests.receiver import Receiver, receiving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A message channel."""
    with receiving() as server:
        yield server


def _play(product: Product) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "examples.outage", "--hold", "24"],
        cwd=ROOT,
        env=product.env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{product.status()['incidents']}"
    return done.stdout


def _told(receiver: Receiver, besides: str) -> list[str]:
    """Return the messages that came, but for those that name ``besides``."""
    told = [f"{one['title']} {one['message']}" for one in receiver.messages]
    return [one for one in told if not (besides and besides in one)]


def _wait_for_the_closing_message(receiver: Receiver, besides: str = "") -> None:
    wait_until(lambda: len(_told(receiver, besides)) >= 2, 30, "the message that it is over")


def _assert_told_once(receiver: Receiver, besides: str = "") -> None:
    """Hold that two messages came, not counting those that name ``besides``."""
    titles = _told(receiver, besides)
    assert len(titles) == 2, titles
    assert all("api-gateway" in title for title in titles), titles


@pytest.mark.docker
@pytest.mark.parametrize("workers", [1, 2])
def test_the_outage_opens_one_incident_sends_two_messages_and_resolves(
    tmp_path: Path, docker_host: str, receiver: Receiver, workers: int
) -> None:
    product = Product(tmp_path / "data", DOCKER_HOST=docker_host, NOTIFY_URLS=receiver.channel)
    try:
        product.start()
        for number in range(2, workers + 1):
            worker = f"{sys.executable} -m celery -A portal worker -Q collect -n collect{number}@e2e"
            product.add_program(f"worker-collect-{number}", f"{worker} --pool prefork --concurrency 1")
        printed = _play(product)
        _wait_for_the_closing_message(receiver)
        incidents = product.status()["incidents"]
    finally:
        product.close()

    assert "a container of the Docker Engine" in printed
    assert [one["services"] for one in incidents if one["number"] > 1] == [["api-gateway"]]
    _assert_told_once(receiver)


def test_without_an_engine_the_same_outage_is_a_process(tmp_path: Path, receiver: Receiver) -> None:
    product = Product(tmp_path / "data", DOCKER_HOST=f"unix://{tmp_path}/none", NOTIFY_URLS=receiver.channel)
    try:
        product.start()
        printed = _play(product)
        # The missing Engine is told too, once it has been silent for a minute.
        _wait_for_the_closing_message(receiver, besides="collector-broken")
        assert "api-gateway" not in product.pids()
        assert not list((tmp_path / "data" / "processes").glob("api-gateway*"))
    finally:
        product.close()

    assert "a process" in printed
    _assert_told_once(receiver, besides="collector-broken")
