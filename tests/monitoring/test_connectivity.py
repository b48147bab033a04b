"""A failure is blamed on the target only while our own network answers."""

from __future__ import annotations

import pytest

from portal.monitoring.probes.base import ProbeReading, Stopwatch, Target
from portal.monitoring.probes.connectivity import Connectivity, parse_addresses
from tests.monitoring.probe_servers import LOCAL
from tests.mute import mute
from tests.services import free_port

OUTSIDE = Target(url="https://shop.example/")
INSIDE = Target(url="http://127.0.0.1:1/")


def failed() -> ProbeReading:
    """A probe that failed."""
    return Stopwatch().failed("timeout after 10 s")


def test_without_our_own_network_an_outside_failure_says_nothing_about_the_target() -> None:
    lost = Connectivity([("127.0.0.1", free_port())], LOCAL)
    seen = lost.judge(OUTSIDE, failed())
    assert seen.ok is None
    assert seen.detail == "this prober's own network does not answer; last result: timeout after 10 s"


def test_a_failure_next_door_needs_no_network_of_ours() -> None:
    lost = Connectivity([("127.0.0.1", free_port())], LOCAL)
    for url in ("http://127.0.0.1:1/", "http://10.1.2.3/", "http://localhost/", "http://[::1]/"):
        assert lost.judge(Target(url=url), failed()).ok is False


def test_one_address_that_answers_is_enough_and_passing_probes_ask_for_none() -> None:
    with mute() as server:
        present = Connectivity([("127.0.0.1", free_port()), ("127.0.0.1", server.port)], LOCAL)
        assert present.judge(OUTSIDE, failed()).ok is False
    passed = Stopwatch().passed("HTTP 200")
    assert Connectivity([("127.0.0.1", free_port())], LOCAL).judge(OUTSIDE, passed) is passed


def test_without_an_address_nothing_is_known_and_the_failure_counts() -> None:
    assert Connectivity([], LOCAL).judge(OUTSIDE, failed()).ok is False


def test_the_answer_is_used_again_for_ten_seconds() -> None:
    now = [0.0]
    with mute() as server:
        check = Connectivity([("127.0.0.1", server.port)], LOCAL, clock=lambda: now[0])
        assert check.is_present()
    now[0] = 9.9
    assert check.is_present()
    now[0] = 10.1
    assert not check.is_present()


@pytest.mark.parametrize("entry", ["1.1.1.1", "1.1.1.1:0", "1.1.1.1:99999", ":53", "a b:1"])
def test_an_entry_that_is_no_host_and_port_is_an_error(entry: str) -> None:
    with pytest.raises(ValueError, match="is not host:port"):
        parse_addresses([entry])
    assert parse_addresses([" 1.1.1.1:53 ", "", "[2606:4700::1111]:53"]) == (
        ("1.1.1.1", 53), ("2606:4700::1111", 53),
    )  # fmt: skip
