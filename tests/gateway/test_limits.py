"""Rates, connection counts and client addresses."""

from __future__ import annotations

import heapq
from contextlib import ExitStack
from dataclasses import replace

import pytest

from gateway.config import FeedConfig
from gateway.feed_frames import Close
from gateway.limits import Bucket, ConnectionLimits, LimitExceeded, client_address

CONFIG = FeedConfig(max_connections=3, max_connections_per_address=2, connect_rate=100)


def test_a_bucket_lets_its_burst_through_and_then_its_rate():
    bucket = Bucket(rate=2, burst=3)
    assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(0.5), bucket.take(0.5)] == [True, False]
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]


def test_an_address_and_the_process_have_their_limits_and_places_come_back():
    limits = ConnectionLimits(CONFIG)
    with limits.connection("a", 0.0), limits.connection("a", 0.0):
        with pytest.raises(LimitExceeded) as caught, limits.connection("a", 0.0):
            pass
        assert caught.value.verdict.code is Close.OVER_LIMIT
        with limits.connection("b", 0.0):
            with pytest.raises(LimitExceeded) as caught, limits.connection("c", 0.0):
                pass
            assert caught.value.verdict.code is Close.TRY_LATER
            assert caught.value.verdict.retry_after
    with limits.connection("a", 0.0), limits.connection("a", 0.0):
        pass


def test_too_many_new_connections_in_a_second_are_told_to_come_later():
    limits = ConnectionLimits(replace(CONFIG, connect_rate=2, max_connections=100))
    for address in "ab":
        with limits.connection(address, 0.0):
            pass
    with pytest.raises(LimitExceeded) as caught, limits.connection("c", 0.0):
        pass
    assert caught.value.verdict.code is Close.TRY_LATER
    with limits.connection("c", 1.0):
        pass


def test_those_who_came_with_too_many_come_back_one_after_the_other():
    """A thousand clients at once, fifty a second: each is told a time of its own, and all are soon in."""
    limits = ConnectionLimits(replace(CONFIG, connect_rate=50, max_connections=2000))
    coming, waits, last = [(0.0, number) for number in range(1000)], [], 0.0
    with ExitStack() as stack:
        while coming:
            now, number = heapq.heappop(coming)
            try:
                stack.enter_context(limits.connection(str(number), now))
                last = now
            except LimitExceeded as error:
                waits.append(error.verdict.retry_after or 0.0)
                heapq.heappush(coming, (now + waits[-1], number))
    assert last < 25, "twenty seconds is what the rate alone takes"
    assert min(waits) >= 1.0
    assert max(waits) <= 60.0
    assert len(waits) < 1100


def test_a_key_has_its_own_limit():
    limits = ConnectionLimits(CONFIG)
    with limits.subject("key:1", 1), limits.subject("key:2", 1):
        with pytest.raises(LimitExceeded) as caught, limits.subject("key:1", 1):
            pass
        assert caught.value.verdict.code is Close.OVER_LIMIT


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "address"),
    [
        ("203.0.113.9", "1.2.3.4", [], "203.0.113.9"),
        ("203.0.113.9", "1.2.3.4", ["10.0.0.0/8"], "203.0.113.9"),
        ("10.0.0.1", "1.2.3.4", ["10.0.0.0/8"], "1.2.3.4"),
        ("10.0.0.1", "6.6.6.6, 1.2.3.4, 10.0.0.2", ["10.0.0.0/8"], "1.2.3.4"),
        ("10.0.0.1", "", ["10.0.0.0/8"], "10.0.0.1"),
        ("10.0.0.1", "nonsense", ["10.0.0.0/8"], "10.0.0.1"),
        ("::ffff:10.0.0.1", "1.2.3.4", ["10.0.0.1"], "1.2.3.4"),
        ("2001:db8::1:2:3:4", "", [], "2001:db8::/64"),
        ("", "1.2.3.4", ["10.0.0.0/8"], ""),
    ],
)
def test_the_address_is_the_last_hop_that_is_no_trusted_proxy(peer, forwarded, trusted, address):
    assert client_address(peer, forwarded, trusted) == address
