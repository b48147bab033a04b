"""What makes a connection proven, stale or dead, and what a session writes while nothing works."""

from __future__ import annotations

import pytest

from gateway.actions import FetchToken
from gateway.states import State
from tests.gateway.session_world import (
    PING,
    TOPIC,
    Rig,
    lines,
    of,
    outcomes,
    real,
    rejected,
    reply,
    sent,
    system,
    token,
)

S = State


@pytest.mark.parametrize(
    ("topics", "market_open", "frames", "seconds", "forgotten"),
    [
        ((TOPIC,), True, (real(), PING), 60.0, True),
        ((TOPIC,), True, (real(), PING), 59.0, False),  # too short
        ((TOPIC,), True, (PING,), 3600.0, False),  # connected and mute
        ((TOPIC,), False, (PING,), 60.0, True),  # nobody expects rows
        ((), True, (PING,), 60.0, True),
        ((), True, (PING,), 59.0, False),
        ((TOPIC,), False, (reply("REG"),), 3600.0, False),  # nothing but answers: not even a PING
        ((), True, (real(),), 60.0, True),
    ],
)
def test_failures_are_forgotten_only_after_a_minute_of_proof(topics, market_open, frames, seconds, forgotten):
    rig = Rig()
    rig.start()
    for _ in range(3):
        rig.broken()
        rig.wait(8.0)
    rig.do(rig.session.market, is_open=market_open)
    rig.login()
    if topics:
        rig.do(rig.session.want, topics)
        rig.frame(reply("REG"))
    rig.wait(seconds, *frames, every=5.0)
    assert rig.state is S.LIVE
    assert rig.session.retry.failures == (0 if forgotten else 3)
    assert rig.session.view(rig.now).attempts == (0 if forgotten else 4)


@pytest.mark.parametrize("way", ["accept-then-close", "login-then-kick", "mute"])
def test_a_server_that_lets_us_in_and_does_not_work_is_asked_less_and_less(way):
    rig = Rig(random=0.999)
    rig.do(rig.session.want, [TOPIC])
    rig.start()
    waits = []
    for attempt in range(8):
        rig.do(rig.session.token, token())
        rig.do(rig.session.opened)
        if way != "accept-then-close":
            rig.frame(reply("LOGIN"))
        if way == "mute":
            rig.frame(reply("REG"))
            rig.wait(45.0)
        else:
            rig.frame(system("R10001")) if way == "login-then-kick" and attempt == 0 else rig.broken()
        waits.append((rig.session.view(rig.now).next_attempt or 0.0) - rig.now)
        rig.wait(waits[-1])
        assert rig.state is S.TOKEN
    assert [round(wait) for wait in waits] == [1, 2, 4, 8, 30, 32, 60, 60]


def test_silence_of_45_seconds_is_a_dead_socket():
    rig = Rig().live()
    rig.wait(44.9)
    assert rig.state is S.LIVE
    assert outcomes(rig.wait(0.1)) == ["silent"]


def test_a_slow_heartbeat_makes_patience_longer():
    rig = Rig().live()
    rig.wait(40.0, PING, every=20.0)
    rig.wait(89.9)
    assert rig.state is S.LIVE
    assert outcomes(rig.wait(0.1)) == ["silent"]


def test_frames_that_are_not_kiwooms_do_not_keep_a_dead_connection_alive():
    rig = Rig().live()
    assert "silent" in outcomes(rig.wait(60.0, "garbage", every=1.0))


def test_rows_that_stop_make_it_stale_and_rows_make_it_live_again():
    rig = Rig().live(TOPIC)
    rig.frame(real())
    rig.wait(89.0, PING)
    before = rig.state
    rig.wait(1.0)
    after = rig.state
    rig.frame(real())
    assert (before, after, rig.state) == (S.LIVE, S.STALE, S.LIVE)


@pytest.mark.parametrize(("ticked", "is_open"), [(False, True), (True, False)])
def test_topics_that_never_ticked_and_closed_markets_are_not_stale(ticked, is_open):
    rig = Rig().live(TOPIC)
    if ticked:
        rig.frame(real())
    rig.do(rig.session.market, is_open=is_open)
    rig.wait(3600.0, PING)
    assert rig.state is S.LIVE


def test_the_opening_of_the_market_gives_rows_ninety_seconds_to_come():
    rig = Rig().live(TOPIC)
    rig.frame(real())
    rig.do(rig.session.market, is_open=False)
    rig.wait(3600.0, PING)
    rig.do(rig.session.market, is_open=True)
    rig.wait(89.0, PING)
    before = rig.state
    rig.wait(1.0, PING)
    assert (before, rig.state) == (S.LIVE, S.STALE)


def test_stale_reconnects_once_and_then_stays_connected():
    rig = Rig().live(TOPIC)
    rig.frame(real())
    rig.wait(180.0, PING)
    assert outcomes(rig.actions)[-1] == "stale"
    rig.wait(1.0)
    rig.login()
    rig.frame(reply("REG"))
    rig.wait(3600.0, PING)
    assert rig.state is S.STALE
    assert len(of(FetchToken, rig.actions)) == 2
    rig.frame(real())
    assert outcomes(rig.wait(180.0, PING)) == ["stale"]


def test_an_unanswered_registration_is_a_broken_connection():
    rig = Rig().live()
    rig.do(rig.session.want, [TOPIC])
    rig.wait(9.9, PING, every=2.0)
    assert rig.state is S.LIVE
    assert outcomes(rig.wait(0.1)) == ["timeout"]


def test_many_refused_registrations_are_one_line():
    rig = Rig().live(TOPIC)
    for kind in ("0C", "0D", "0E", "0F"):
        rig.do(rig.session.want, [TOPIC, f"{kind}:005930"])
        rig.wait(1.0)
        rig.frame(reply("REG", 105108, "no"))
    assert len([line for line in lines(rig.actions) if "refused" in line]) == 1


def test_a_refused_registration_is_told_once_a_minute_and_tried_again_each_minute():
    rig = Rig().live()
    rig.do(rig.session.want, [TOPIC])
    for _ in range(10):
        rig.frame(reply("REG", 105108, "no"))
        rig.wait(61.0, PING, every=5.0)
    assert len([line for line in lines(rig.actions) if "refused" in line]) == 10
    assert len([frame for frame in sent(rig.actions) if frame["trnm"] == "REG"]) == 11


def _refused(rig):
    rig.refuse(0, "cannot reach it")


def _flapping(rig):
    rig.login()
    rig.broken()


def _kicked(rig):
    rig.login()
    rig.frame(system("R10001"))


def _bad_token(rig):
    rig.do(rig.session.token, token())
    rig.do(rig.session.opened)
    rig.frame(rejected(8005))


@pytest.mark.parametrize(
    ("attempt", "least"), [(_refused, 300), (_flapping, 300), (_kicked, 3), (_bad_token, 200)]
)
def test_a_day_of_failures_writes_at_most_a_hundred_lines_an_hour(attempt, least):
    rig = Rig()
    rig.start()
    start, attempts, by_hour = rig.now, 0, [0] * 25
    while rig.now - start < 24 * 3600.0:
        written = len(lines(rig.actions))
        if rig.state is S.TOKEN:
            attempts += 1
            attempt(rig)
        due = rig.session.deadline(rig.now)
        if due is not None:
            rig.wait(due - rig.now)
        by_hour[int((rig.now - start) // 3600)] += len(lines(rig.actions)) - written
        if due is None:
            break
    assert attempts >= least
    assert max(by_hour) <= 100
    assert sum(by_hour) >= 2


def test_a_parked_session_writes_a_line_each_ten_minutes():
    rig = Rig()
    rig.start()
    rig.refuse(8050, "address")
    start = rig.now
    while rig.now < start + 3600.0:
        if rig.state is S.TOKEN:
            rig.refuse(8050, "address")
        rig.wait(1.0)
    first, *summaries = lines(rig.actions)
    assert first == "parked: token refused, 8050: address; next in 300 s"
    assert len(summaries) == 6
    assert all(line.startswith("parked, ") for line in summaries)


def test_the_summary_says_how_often_how_long_why_and_when_next():
    rig = Rig(random=0.999)
    rig.start()
    while rig.now < 1000.0 + 8 * 60:
        if rig.state is S.TOKEN:
            rig.refuse(0, "cannot reach it")
        rig.wait(1.0)
    summaries = [line for line in lines(rig.actions) if "attempts in" in line]
    assert len(summaries) == 8
    assert summaries[0] == "6 attempts in 1 min, last: token refused, 0: cannot reach it, next in 17 s"
    assert summaries[-1].startswith("13 attempts in 8 min, last: token refused, 0: cannot reach it, next in ")


def test_the_end_of_an_outage_is_one_line_that_tells_the_effort():
    rig = Rig()
    rig.start()
    for _ in range(3):
        rig.broken()
        rig.wait(4.0)
    written = len(lines(rig.actions))
    rig.login()
    assert lines(rig.actions)[written:] == ["live after 4 attempts in 0 min"]
    assert lines(rig.wait(600.0, PING)) == []
