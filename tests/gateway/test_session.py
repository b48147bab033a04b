"""The session as a table: in each state, what each event makes of it and what it asks of its shell."""

from __future__ import annotations

import pytest

from gateway.actions import FetchToken, Publish, Record
from gateway.protocol import EXCERPT, Refusal, Verdict
from gateway.retry import Breaker
from gateway.states import MOVES, IllegalMove, State
from tests.gateway.session_world import (
    CONFIG,
    PING,
    SECRETS,
    TOKEN,
    TOPIC,
    Rig,
    lines,
    names,
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
CONNECTED = (S.LOGIN, S.LIVE, S.STALE)
#: Events by name: what the shell or a person reports to the rig's session.
EVENTS = {
    "start": lambda rig: rig.start(),
    "token": lambda rig: rig.do(rig.session.token, token()),
    "token refused": lambda rig: rig.refuse(8006),
    "token limited": lambda rig: rig.do(rig.session.token, Refusal(Verdict.SLOW_DOWN, 429, "429")),
    "wrong address": lambda rig: rig.refuse(3, "인증에 실패했습니다[8050:지정단말기 인증에 실패했습니다]"),
    "opened": lambda rig: rig.do(rig.session.opened),
    "broke": lambda rig: rig.broken(),
    "LOGIN ok": lambda rig: rig.frame(reply("LOGIN")),
    "LOGIN bad token": lambda rig: rig.frame(rejected(8005)),
    "LOGIN wrong server": lambda rig: rig.frame(rejected(8031)),
    "LOGIN unexplained": lambda rig: rig.frame(reply("LOGIN", 999999, "?")),
    "PING": lambda rig: rig.frame(PING),
    "REAL": lambda rig: rig.frame(real()),
    "REG": lambda rig: rig.frame(reply("REG")),
    "kick": lambda rig: rig.frame(system("R10001")),
    "no heartbeat": lambda rig: rig.frame(system("R10002")),
    "other notice": lambda rig: rig.frame(system("R10004")),
    "other trnm": lambda rig: rig.frame('{"trnm":"CNSRLST"}'),
    "garbage": lambda rig: rig.frame("<html>maintenance</html>"),
    "want": lambda rig: rig.do(rig.session.want, [TOPIC]),
    "market closed": lambda rig: rig.do(rig.session.market, is_open=False),
    "stop": lambda rig: rig.do(rig.session.stop),
    "resume": lambda rig: rig.do(rig.session.resume, "it is mended"),
    "open breaker": lambda rig: rig.do(rig.session.open_breaker, "maintenance"),
    "close breaker": lambda rig: rig.do(rig.session.close_breaker, "it is over"),
    "10 s": lambda rig: rig.wait(10.0),
}

#: (state, event) -> (state after it, what is asked of the shell).
TABLE = [
    (S.IDLE, "start", S.TOKEN, ["FetchToken"]),
    (S.IDLE, "want", S.IDLE, []),
    (S.IDLE, "stop", S.IDLE, []),
    (S.IDLE, "10 s", S.IDLE, []),
    (S.IDLE, "resume", S.IDLE, []),
    (S.TOKEN, "token", S.CONNECTING, ["Connect"]),
    (S.TOKEN, "token refused", S.BACKOFF, ["Disconnect", "Log"]),
    (S.TOKEN, "token limited", S.BACKOFF, ["Disconnect", "Log"]),
    (S.TOKEN, "wrong address", S.PARKED, ["Disconnect", "Log"]),
    (S.TOKEN, "broke", S.BACKOFF, ["Disconnect", "Log"]),
    (S.TOKEN, "want", S.TOKEN, []),
    (S.TOKEN, "resume", S.TOKEN, []),
    (S.TOKEN, "stop", S.IDLE, ["Disconnect"]),
    (S.TOKEN, "10 s", S.BACKOFF, ["Disconnect", "Log"]),
    (S.CONNECTING, "opened", S.LOGIN, ["Send"]),
    (S.CONNECTING, "broke", S.BACKOFF, ["Disconnect", "Log"]),
    (S.CONNECTING, "open breaker", S.PARKED, ["Log", "Disconnect"]),
    (S.CONNECTING, "stop", S.IDLE, ["Disconnect"]),
    (S.LOGIN, "LOGIN ok", S.LIVE, ["Log"]),
    (S.LOGIN, "LOGIN bad token", S.BACKOFF, ["Disconnect", "Log"]),
    (S.LOGIN, "LOGIN wrong server", S.PARKED, ["Disconnect", "Log"]),
    (S.LOGIN, "LOGIN unexplained", S.BACKOFF, ["Disconnect", "Log"]),
    (S.LOGIN, "broke", S.BACKOFF, ["Disconnect", "Log"]),
    (S.LOGIN, "kick", S.BACKOFF, ["Disconnect", "Log"]),
    (S.LOGIN, "other notice", S.LOGIN, []),
    (S.LOGIN, "PING", S.LOGIN, ["Send"]),
    (S.LOGIN, "REAL", S.LOGIN, []),
    (S.LOGIN, "want", S.LOGIN, []),
    (S.LOGIN, "garbage", S.LOGIN, ["Log"]),
    (S.LOGIN, "stop", S.IDLE, ["Disconnect"]),
    (S.LIVE, "REAL", S.LIVE, ["Publish"]),
    (S.LIVE, "PING", S.LIVE, ["Send"]),
    (S.LIVE, "want", S.LIVE, ["Send"]),
    (S.LIVE, "REG", S.LIVE, []),
    (S.LIVE, "LOGIN bad token", S.LIVE, []),
    (S.LIVE, "kick", S.BACKOFF, ["Disconnect", "Log"]),
    (S.LIVE, "no heartbeat", S.BACKOFF, ["Disconnect", "Log"]),
    (S.LIVE, "other notice", S.LIVE, []),
    (S.LIVE, "other trnm", S.LIVE, []),
    (S.LIVE, "garbage", S.LIVE, ["Log"]),
    (S.LIVE, "broke", S.BACKOFF, ["Disconnect", "Log"]),
    (S.LIVE, "market closed", S.LIVE, []),
    (S.LIVE, "resume", S.LIVE, []),
    (S.LIVE, "open breaker", S.PARKED, ["Log", "Disconnect"]),
    (S.LIVE, "close breaker", S.LIVE, ["Log"]),
    (S.LIVE, "stop", S.IDLE, ["Disconnect"]),
    (S.LIVE, "10 s", S.LIVE, []),
    (S.STALE, "REAL", S.LIVE, ["Publish", "Log"]),
    (S.STALE, "PING", S.STALE, ["Send"]),
    (S.STALE, "market closed", S.LIVE, []),
    (S.STALE, "broke", S.BACKOFF, ["Disconnect", "Log"]),
    (S.STALE, "kick", S.BACKOFF, ["Disconnect", "Log"]),
    (S.STALE, "stop", S.IDLE, ["Disconnect"]),
    (S.BACKOFF, "want", S.BACKOFF, []),
    (S.BACKOFF, "resume", S.BACKOFF, []),
    (S.BACKOFF, "open breaker", S.PARKED, ["Log"]),
    (S.BACKOFF, "close breaker", S.TOKEN, ["Log", "FetchToken"]),
    (S.BACKOFF, "stop", S.IDLE, []),
    (S.BACKOFF, "10 s", S.TOKEN, ["FetchToken"]),
    (S.PARKED, "resume", S.TOKEN, ["Log", "FetchToken"]),
    (S.PARKED, "close breaker", S.TOKEN, ["Log", "FetchToken"]),
    (S.PARKED, "open breaker", S.PARKED, ["Log"]),
    (S.PARKED, "want", S.PARKED, []),
    (S.PARKED, "stop", S.IDLE, []),
    (S.PARKED, "10 s", S.PARKED, []),
]
#: What cannot happen in a state; the shell would be broken if it reported it.
IMPOSSIBLE = [
    *((state, "token") for state in State if state is not S.TOKEN),
    *((state, "opened") for state in State if state is not S.CONNECTING),
    *((state, "broke") for state in (S.IDLE, S.BACKOFF, S.PARKED)),
    *((state, "PING") for state in State if state not in CONNECTED),
    *((state, "start") for state in State if state is not S.IDLE),
]


@pytest.mark.parametrize(("state", "event", "after", "asked"), TABLE)
def test_event(state, event, after, asked):
    rig = Rig().to(state)
    actions = EVENTS[event](rig)
    assert (rig.state, names(actions)) == (after, asked)


@pytest.mark.parametrize(("state", "event"), IMPOSSIBLE)
def test_impossible_events_raise_and_change_nothing(state, event):
    rig = Rig().to(state)
    with pytest.raises(IllegalMove):
        EVENTS[event](rig)
    assert rig.state is state


def test_every_state_but_rest_can_be_left_for_rest():
    assert {state for state in State if S.IDLE in MOVES[state]} == set(State) - {S.IDLE}


def test_login_is_the_first_frame_and_carries_the_token():
    rig = Rig().to(S.CONNECTING)
    assert sent(EVENTS["opened"](rig)) == [{"trnm": "LOGIN", "token": TOKEN}]


def test_a_ping_goes_back_unchanged():
    rig = Rig().to(S.LIVE)
    odd = '{ "trnm" : "PING", "at":"\\uac00" }'
    assert [action.text for action in rig.frame(odd)] == [odd]  # type: ignore[union-attr]


def test_topics_wanted_before_login_are_registered_right_after_its_reply():
    rig = Rig()
    rig.do(rig.session.want, [TOPIC, "0D:000660"])
    rig.start()
    rig.do(rig.session.token, token())
    rig.do(rig.session.opened)
    frames = sent(rig.frame(reply("LOGIN")))
    assert frames[0]["trnm"] == "REG"
    assert (frames[0]["refresh"], frames[0]["grp_no"]) == ("1", "1")
    frames += sent(rig.wait(1.0))
    assert [frame["data"] for frame in frames] == [
        [{"item": ["005930"], "type": ["0B"]}],
        [{"item": ["000660"], "type": ["0D"]}],
    ]


def test_topics_are_registered_again_on_the_next_connection():
    rig = Rig().live(TOPIC)
    rig.broken()
    assert rig.session.view(rig.now).registered == 0
    rig.wait(1.0)
    rig.login()
    assert [frame["trnm"] for frame in sent(rig.actions)] == ["LOGIN", "REG", "LOGIN", "REG"]


def test_rows_are_published_as_they_came():
    rig = Rig().live(TOPIC)
    (published,) = of(Publish, rig.frame(real(TOPIC, "0B:000660")))
    assert [row.topic for row in published.rows] == [TOPIC, "0B:000660"]


def test_a_token_refused_by_login_is_renewed_once_and_then_the_key_is_wrong():
    rig = Rig().to(S.LOGIN)
    rig.frame(rejected(8005))
    assert of(FetchToken, rig.wait(1.0)) == [FetchToken(renew=True)]
    rig.do(rig.session.token, token("another"))
    rig.do(rig.session.opened)
    rig.frame(rejected(8005))
    assert rig.state is S.PARKED


def test_a_renewed_token_that_proved_itself_may_be_renewed_again():
    rig = Rig().to(S.LOGIN)
    for _ in range(2):
        rig.frame(rejected(8005))
        rig.wait(1.0)
        rig.login()
        rig.wait(61.0, PING)
        rig.broken()
        rig.wait(1.0)
        rig.do(rig.session.token, token())
        rig.do(rig.session.opened)
    rig.frame(rejected(8005))
    assert rig.state is S.BACKOFF


@pytest.mark.parametrize("code", [8001, 8002, 8030, 8031, 8050])
def test_a_wrong_key_or_address_parks_at_once_and_is_probed_each_five_minutes(code):
    rig = Rig().to(S.TOKEN)
    rig.refuse(3, f"[{code}:no]")
    assert rig.state is S.PARKED
    assert str(code) in rig.session.view(rig.now).last_error
    assert not of(FetchToken, rig.wait(299.0))
    assert len(of(FetchToken, rig.wait(1.0))) == 1


@pytest.mark.parametrize(("event", "after"), [("token", 10.0), ("opened", 10.0), ("LOGIN ok", None)], ids=str)
def test_each_step_of_an_attempt_has_ten_seconds(event, after):
    rig = Rig().to({"token": S.TOKEN, "opened": S.CONNECTING, "LOGIN ok": S.LOGIN}[event])
    before = rig.state
    rig.wait(9.9)
    assert rig.state is before
    EVENTS[event](rig)
    rig.wait(9.9)
    assert outcomes(rig.actions) == ([] if after else ["live"])
    if after:
        assert "timeout" in outcomes(rig.wait(0.2))


def test_kicked_three_times_in_ten_minutes_waits_for_a_person():
    rig = Rig().live()
    for _ in range(2):
        rig.frame(system("R10001"))
        assert rig.state is S.BACKOFF
        rig.wait(5.0)
        rig.login()
    rig.frame(system("R10001"))
    assert rig.state is S.PARKED
    assert "same app key" in rig.session.view(rig.now).last_error
    assert rig.session.view(rig.now).next_attempt is None
    assert not of(FetchToken, rig.wait(24 * 3600.0))
    assert of(FetchToken, EVENTS["resume"](rig))


def test_a_breaker_opened_by_hand_ends_the_connection_and_keeps_everything_closed():
    rig = Rig().live(TOPIC)
    EVENTS["open breaker"](rig)
    assert outcomes(rig.actions)[-1] == "held"
    assert not of(FetchToken, EVENTS["resume"](rig))
    assert not of(FetchToken, rig.wait(24 * 3600.0))
    view = rig.session.view(rig.now)
    assert (view.breaker, view.held, view.state) == (Breaker.OPEN, True, S.PARKED)
    assert of(FetchToken, EVENTS["close breaker"](rig))


def test_a_breaker_opened_before_the_start_holds_the_start():
    rig = Rig()
    EVENTS["open breaker"](rig)
    assert not of(FetchToken, rig.start())
    assert not of(FetchToken, rig.wait(3600.0))
    assert of(FetchToken, EVENTS["close breaker"](rig))


def test_every_attempt_is_recorded_with_its_wait_reason_and_time_alive():
    rig = Rig().live()
    rig.wait(30.0, PING)
    rig.broken()
    rig.wait(0.5)
    EVENTS["token refused"](rig)
    first, end, second = of(Record, rig.actions)
    assert (first.number, first.outcome) == (1, "live")
    assert (end.number, end.outcome, end.live_for) == (1, "closed", 30.0)
    assert "1000 Bye" in end.reason
    assert (second.number, second.outcome, second.delay_before) == (2, "token", 0.5)
    assert second.started == pytest.approx(end.started + 30.5)


@pytest.mark.parametrize("state", [S.TOKEN, S.CONNECTING, *CONNECTED])
def test_stopping_records_the_attempt_and_lets_go(state):
    rig = Rig().to(state)
    actions = EVENTS["stop"](rig)
    assert outcomes(actions) == ["stopped"]
    assert rig.session.deadline(rig.now) is None


def test_secrets_are_masked_in_what_is_logged_recorded_and_shown():
    spoken = " ".join(SECRETS)
    rig = Rig().to(S.LOGIN)
    rig.frame(f"echo of {spoken}")
    rig.frame(reply("LOGIN", 999999, spoken))
    EVENTS["open breaker"](rig)
    rig.do(rig.session.close_breaker, spoken)
    rig.refuse(3, spoken)
    rig.do(rig.session.open_breaker, spoken)
    told = [*lines(rig.actions), *(record.reason for record in of(Record, rig.actions))]
    told.append(rig.session.view(rig.now).last_error)
    assert sum("***" in text for text in told) >= 5
    assert not [text for text in told for secret in SECRETS if secret in text]
    assert TOKEN not in repr(rig.actions)


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("kept", [12, 14])
def test_a_secret_that_is_cut_off_by_the_length_of_a_message_is_masked_too(secret, kept):
    rig = Rig().to(S.LOGIN)
    text = "x" * (EXCERPT - kept) + secret
    rig.frame(text)
    rig.frame(reply("LOGIN", 999999, text))
    told = [*lines(rig.actions), rig.session.view(rig.now).last_error]
    assert all("***" in text for text in told if "xxx" in text)
    assert not [text for text in told if secret[:12] in text]


def test_what_the_server_says_takes_one_line():
    rig = Rig().to(S.LOGIN)
    rig.frame(reply("LOGIN", 999999, "first\nsecond\r\nthird"))
    assert "first second third" in rig.session.view(rig.now).last_error
    assert not [line for line in lines(rig.actions) if "\n" in line or "\r" in line]


def test_the_start_of_a_process_waits_a_random_moment_and_a_takeover_does_not():
    rig = Rig(random=0.5)
    assert not of(FetchToken, rig.do(rig.session.start))
    assert not of(FetchToken, rig.wait(2.4))
    assert of(FetchToken, rig.wait(0.1))
    assert of(FetchToken, Rig(random=0.5).start())
    assert CONFIG.retry.start_jitter == 5.0
