"""What end users are told: the worst session, and never live without fresh word from the gateway."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.feed_state import MOVED_AFTER, STATUS_TTL, StateTracker
from gateway.status import FeedState, GatewayStatus

WALL = 1_795_400_000.0


def status(feed=FeedState.LIVE, slot="key-1", at=WALL, fence=10, **fields: Any):
    return GatewayStatus(slot=slot, at=at, session="LIVE", feed=feed, since=WALL - 100, fence=fence, **fields)


def tracker(*statuses):
    made = StateTracker(WALL)
    made.bus(True)
    for one in statuses:
        made.update(one, 0.0, WALL)
    return made


@pytest.mark.parametrize("state", list(FeedState))
def test_the_gateways_state_is_passed_on_with_our_code(state):
    view = tracker(status(state)).view(1.0, WALL + 1)
    assert view.state is state
    assert json.loads(view.frame(full=False))["code"].startswith("B100")


def test_without_any_status_the_feed_is_reconnecting():
    assert tracker().view(0.0, WALL).state is FeedState.RECONNECTING


def test_a_status_that_is_not_repeated_is_not_live_any_more():
    mine = tracker(status())
    assert mine.view(STATUS_TTL - 0.1, WALL).state is FeedState.LIVE
    view = mine.view(STATUS_TTL + 0.1, WALL)
    assert view.state is FeedState.RECONNECTING
    assert view.as_of == WALL


def test_a_dead_bus_is_reconnecting_whatever_was_known():
    mine = tracker(status())
    mine.bus(False)
    view = mine.view(0.0, WALL)
    assert view.state is FeedState.RECONNECTING
    assert view.details == {"cause": "bus"}


def test_the_worst_of_several_sessions_is_told():
    assert tracker(status(), status(FeedState.STALE, "key-2")).view(0.0, WALL).state is FeedState.STALE


@pytest.mark.parametrize(
    ("wanted", "told"),
    [((5, 0), FeedState.LIVE), ((5, 1), FeedState.PARKED), ((0, 0), FeedState.PARKED)],
)
def test_a_key_whose_items_are_with_another_is_no_reason_for_alarm(wanted, told):
    mine = tracker(status(wanted=wanted[0]), status(FeedState.PARKED, "key-2", wanted=wanted[1], fence=11))
    assert mine.view(0.0, WALL).state is told


def test_a_key_that_is_gone_for_good_is_reconnecting_until_its_items_have_moved():
    mine = tracker(status(slot="key-2", wanted=5, fence=9))
    for now in (0.0, STATUS_TTL + 1, MOVED_AFTER - 0.1):
        mine.update(status(wanted=5, at=WALL + now), now, WALL + now)
        expected = FeedState.LIVE if now == 0 else FeedState.RECONNECTING
        assert mine.view(now, WALL).state is expected
    assert mine.view(MOVED_AFTER + 0.1, WALL).state is FeedState.LIVE


def test_a_replaced_owner_is_not_believed():
    mine = tracker(status(FeedState.RECONNECTING, fence=11), status(FeedState.LIVE, fence=10, at=WALL + 5))
    assert mine.view(0.0, WALL).state is FeedState.RECONNECTING
    assert mine.accepts(11)
    assert not mine.accepts(10)
    assert mine.accepts(12)


def test_a_clock_that_is_set_back_does_not_silence_its_owner():
    mine = tracker(status())
    mine.update(status(FeedState.STALE, at=WALL - 120), STATUS_TTL - 1, WALL)
    assert mine.view(STATUS_TTL + 1, WALL).state is FeedState.STALE


def test_the_countdown_runs_from_when_the_status_was_heard():
    view = tracker(status(FeedState.RECONNECTING, next_retry_s=8.0)).view(3.0, WALL)
    frame = json.loads(view.frame(full=False))
    assert frame["retry_in_s"] == 5.0
    assert frame["message"] == "reconnecting"


def test_times_are_korean_and_details_are_for_those_who_asked():
    view = tracker(status(FeedState.STALE, last_row_at=WALL, attempts=3)).view(0.0, WALL)
    plain, full = (json.loads(view.frame(full=flag)) for flag in (False, True))
    assert plain["as_of"].endswith("+09:00")
    assert "attempts" not in plain
    assert full["attempts"] == 3
