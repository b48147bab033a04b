"""Topics that the server accepted and that bring nothing."""

from __future__ import annotations

import pytest

from gateway.planner import REFUSED_PAUSE
from gateway.states import State
from tests.gateway.session_world import PING, TOPIC, Rig, real, reply, sent

OTHER = "0B:999999"


def silent(rig):
    """Return the silent topics that the session shows."""
    return rig.session.view(rig.now).places.silent


def registrations(rig):
    """Return the items of each REG that was sent."""
    return [frame["data"][0]["item"] for frame in sent(rig.actions) if frame["trnm"] == "REG"]


def ticking(**changes):
    """Return a live session with two topics of which one brings rows."""
    rig = Rig(**changes).live(TOPIC, OTHER)
    rig.frame(real(TOPIC))
    return rig


def test_an_accepted_topic_without_a_row_is_silent_after_two_minutes_while_others_tick():
    rig = ticking()
    rig.wait(119.9, PING, real(TOPIC))
    before = silent(rig)
    rig.wait(0.1)
    assert (before, silent(rig)) == ((), (OTHER,))


def test_a_silent_topic_is_registered_once_more_and_no_oftener():
    rig = ticking()
    rig.wait(121.0, PING, real(TOPIC))
    assert registrations(rig) == [["005930", "999999"], ["999999"]]
    rig.frame(reply("REG"))
    rig.wait(3600.0, PING, real(TOPIC))
    assert registrations(rig) == [["005930", "999999"], ["999999"]]
    assert silent(rig) == (OTHER,)
    assert rig.state is State.LIVE


def test_a_row_ends_the_silence():
    rig = ticking()
    rig.wait(121.0, PING, real(TOPIC))
    rig.frame(reply("REG"))
    rig.frame(real(OTHER))
    assert silent(rig) == ()
    rig.wait(3600.0, PING, real(TOPIC))
    assert silent(rig) == ()


def test_while_nothing_ticks_no_topic_is_to_blame():
    rig = Rig().live(TOPIC, OTHER)
    rig.wait(3600.0, PING)
    assert silent(rig) == ()
    assert len(registrations(rig)) == 1


def test_the_first_row_of_another_topic_lets_the_silent_one_be_registered_again():
    rig = Rig().live(TOPIC, OTHER)
    rig.wait(600.0, PING)
    rig.wait(30.0, PING, real(TOPIC))
    assert registrations(rig) == [["005930", "999999"], ["999999"]]


def test_a_topic_whose_market_is_closed_is_not_silent_and_has_time_from_its_opening():
    rig = ticking()
    rig.do(rig.session.market, is_open=True, trading=frozenset({TOPIC}))
    rig.wait(3600.0, PING, real(TOPIC))
    assert silent(rig) == ()
    rig.do(rig.session.market, is_open=True, trading=frozenset({TOPIC, OTHER}))
    rig.wait(119.0, PING, real(TOPIC))
    before = silent(rig)
    rig.wait(1.0)
    assert (before, silent(rig)) == ((), (OTHER,))
    assert len(registrations(rig)) == 2


def test_a_new_connection_asks_anew():
    rig = ticking()
    rig.wait(121.0, PING, real(TOPIC))
    rig.broken()
    rig.wait(1.0)
    rig.login()
    rig.frame(reply("REG"))
    assert silent(rig) == ()
    rig.wait(121.0, PING, real(TOPIC))
    assert silent(rig) == (OTHER,)
    assert registrations(rig)[2:] == [["005930", "999999"], ["999999"]]


def test_a_topic_that_is_removed_is_no_longer_silent():
    rig = ticking(linger=0.0)
    rig.wait(121.0, PING, real(TOPIC))
    rig.frame(reply("REG"))
    rig.do(rig.session.want, [TOPIC])
    rig.wait(1.0)
    rig.frame(reply("REMOVE"))
    assert silent(rig) == ()


@pytest.mark.parametrize("code", [105108, 105110, 105115])
def test_a_refused_repetition_changes_nothing_else(code):
    rig = ticking()
    rig.wait(121.0, PING, real(TOPIC))
    rig.frame(reply("REG", code, "no"))
    rig.wait(REFUSED_PAUSE + 1, PING, real(TOPIC))
    view = rig.session.view(rig.now)
    assert (view.state, view.registered, view.places.silent) == (State.LIVE, 2, (OTHER,))
    assert view.places.capacity in (200, 2)
    assert view.places.settled


def test_a_topic_that_lingers_still_counts_as_registered():
    rig = ticking()
    rig.do(rig.session.want, [])
    assert rig.session.view(rig.now).places.topics == (TOPIC, OTHER)
    assert rig.session.view(rig.now).registered == 2
