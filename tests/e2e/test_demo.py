"""``make demo-outage`` against the running product: one incident, from its first alert until it is closed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.outage.summary import unfilled
from tests.conditions import wait_until
from tests.e2e.product import ROOT, Product
from tests.receiver import Receiver, receiving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
#: Whether a restart helped is looked at in the middle of the play, not two minutes after.
CHECK_AFTER = "45"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A message channel."""
    with receiving() as server:
        yield server


def _play(product: Product) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "examples.outage", "--hold", "10"],
        cwd=ROOT,
        env=product.env,
        capture_output=True,
        text=True,
        timeout=420,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{product.status()['incidents']}"
    return done.stdout


def _assert_closed_and_clean(product: Product, printed: str) -> None:
    """Hold that the incident is closed, its reports are written, and no account or broken audit is left."""
    incidents = [one for one in product.status()["incidents"] if one["services"] == ["api-gateway"]]
    states = {one["number"]: one["state"] for one in incidents}
    assert states.get(max(states)) == "closed", states
    written = [
        Path(line.removeprefix("written: ")) for line in printed.splitlines() if line[:9] == "written: "
    ]
    assert [path.stem.rpartition("_")[0].endswith(("_summary", "_root_cause")) for path in written] == [
        True
    ] * 2
    assert "FAIL" not in printed
    assert unfilled(written[0].read_text(encoding="utf-8"), "ko") == []
    people = (
        "from django.contrib.auth.models import User; print(*User.objects.values_list('username', flat=True))"
    )
    assert product.manage("shell", "-v0", "-c", people).split() == ["admin"]
    audit = json.loads(product.manage("verify_audit", "--json"))
    assert audit["ok"], audit


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
def test_the_outage_is_played_to_the_closed_incident_while_two_workers_collect(
    tmp_path: Path, docker_host: str, receiver: Receiver
) -> None:
    product = Product(
        tmp_path / "data",
        DOCKER_HOST=docker_host,
        NOTIFY_URLS=receiver.channel,
        ACTION_CHECK_AFTER=CHECK_AFTER,
    )
    try:
        product.start()
        worker = f"{sys.executable} -m celery -A portal worker -Q collect -n collect2@e2e"
        product.add_program("worker-collect-2", f"{worker} --pool prefork --concurrency 1")
        printed = _play(product)
        _wait_for_the_closing_message(receiver)
        incidents = product.status()["incidents"]
        _assert_closed_and_clean(product, printed)
    finally:
        product.close()

    assert "a container of the Docker Engine" in printed
    assert [one["services"] for one in incidents if one["number"] > 1] == [["api-gateway"]]
    _assert_told_once(receiver)


def test_without_an_engine_the_same_outage_is_a_process(tmp_path: Path, receiver: Receiver) -> None:
    product = Product(
        tmp_path / "data",
        DOCKER_HOST=f"unix://{tmp_path}/none",
        NOTIFY_URLS=receiver.channel,
        ACTION_CHECK_AFTER=CHECK_AFTER,
    )
    try:
        product.start()
        printed = _play(product)
        # The missing Engine is told too, once it has been silent for a minute.
        _wait_for_the_closing_message(receiver, besides="collector-broken")
        _assert_closed_and_clean(product, printed)
        assert "api-gateway" not in product.pids()
        assert not list((tmp_path / "data" / "processes").glob("api-gateway*"))
    finally:
        product.close()

    assert "a process" in printed
    assert "no limits and no log rotation to verify" in printed
    _assert_told_once(receiver, besides="collector-broken")
