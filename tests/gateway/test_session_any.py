"""Whatever a server, the network, the clock and clients do: what a session never does.

Hypothesis plays the shell: it reports only what a shell can report, in any order and at any time.
"""

from __future__ import annotations

import json

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.actions import Action, Connect, Disconnect, FetchToken, Log, Publish, Send
from gateway.config import RetryConfig
from gateway.retry import RetryPolicy
from gateway.states import State
from tests.gateway.session_world import (
    CONFIG,
    PING,
    SECRETS,
    TOKEN,
    TOPIC,
    Rig,
    real,
    rejected,
    reply,
    system,
    token,
)

RETRY = RetryConfig(attempt_limit=12)
POLICY = RetryPolicy(RETRY)
SPOKEN = " ".join(SECRETS)
FRAMES = st.sampled_from(
    [
        PING,
        real(),
        real(TOPIC, "0B:000660"),
        reply("LOGIN"),
        reply("LOGIN", 999999, SPOKEN),
        rejected(8005),
        rejected(8031),
        reply("REG"),
        reply("REG", 105110),
        reply("REG", 105115),
        reply("REG", 100013, SPOKEN),
        reply("REMOVE"),
        reply("REMOVE", 105108),
        system("R10001"),
        system("R10002"),
        '{"trnm":"SYSTEM"}',
        '{"trnm":"LOGIN"}',
        '{"trnm":"LOGIN","return_code":"--1"}',
        '{"trnm":"REAL","data":[7,{}]}',
        SPOKEN,
        "",
    ]
) | st.text(max_size=20)
TOPICS = st.lists(st.sampled_from([f"{kind}:{item:06}" for kind in ("0B", "0D") for item in range(5)]))
STEPS = st.sampled_from([0.0, 0.1, 0.6, 3.0, 10.0, 45.0, 61.0, 200.0])


class AnyServer(RuleBasedStateMachine):
    """The shell's side of one session, and an account of what the session was seen to do."""

    def __init__(self) -> None:
        super().__init__()
        self.rig = Rig(retry=RETRY)
        self.known: tuple[str, ...] = SECRETS[:2]  # what a server could repeat by now
        self.under_way = ""
        self.logged_in = self.row_seen = self.ping_seen = False
        self.live_since = 0.0
        self.forgiven_at = self.rig.now
        self.attempts = 0
        self.kicks: list[float] = []
        self.seen = 0
        self.rig.start()
        self.account()

    def account(self) -> None:
        """Follow the actions that are new."""
        actions, self.seen = self.rig.actions[self.seen :], len(self.rig.actions)
        for action in actions:
            match action:
                case FetchToken():
                    assert not self.under_way
                    self.under_way = "token"
                    self.attempts += 1
                    self.logged_in = self.row_seen = self.ping_seen = False
                case Connect():
                    assert self.under_way == "token", "a second connection"
                    self.under_way = "connect"
                case Disconnect():
                    self.under_way = ""
                    self.logged_in = False
                case Send(text):
                    self.sends(text)
                case Publish():
                    assert self.logged_in, "rows before LOGIN's reply"
                    self.row_seen = True
                case _:
                    pass
            self.tells(action)
        assert self.under_way == EXPECTED[self.rig.state]

    def sends(self, text: str) -> None:
        """Check one frame on its way to the server."""
        assert self.under_way == "socket"
        if '"PING"' in text:
            self.ping_seen = True
            return
        trnm = json.loads(text)["trnm"]
        assert trnm in ("LOGIN", "REG", "REMOVE")
        assert self.logged_in is (trnm != "LOGIN"), f"{trnm} before LOGIN's reply"

    def tells(self, action: Action) -> None:
        """Check that nothing told to people holds a secret."""
        said = [repr(action)]  # a frame to the server holds the token, and must not show it
        if isinstance(action, Publish):
            said += [f"{row.topic} {row.encoded!r}" for row in action.rows]
        if isinstance(action, Log):
            said.append(action.message)
        assert not [secret for secret in SECRETS for text in said if secret in text]

    @precondition(lambda self: self.under_way == "token")
    @rule()
    def token_comes(self) -> None:
        self.known = SECRETS
        self.rig.do(self.rig.session.token, token(TOKEN))
        self.account()

    @precondition(lambda self: self.under_way == "token")
    @rule(code=st.sampled_from([0, 3, 1700, 8005, 8050]))
    def token_is_refused(self, code: int) -> None:
        self.rig.refuse(code or 1, " ".join(self.known))
        self.account()

    @precondition(lambda self: self.under_way == "connect")
    @rule()
    def socket_opens(self) -> None:
        self.under_way = "socket"
        self.rig.do(self.rig.session.opened)
        self.account()

    @precondition(lambda self: self.under_way)
    @rule()
    def it_breaks(self) -> None:
        self.rig.do(self.rig.session.broke, "closed", f"closed {self.known}")
        self.account()

    @precondition(lambda self: self.under_way == "socket")
    @rule(text=FRAMES)
    def frame_arrives(self, text: str) -> None:
        if self.rig.state is State.LOGIN and text == reply("LOGIN"):
            self.logged_in, self.live_since = True, self.rig.now
        if text == system("R10001"):
            self.kicks.append(self.rig.now)
        self.watched(lambda: self.rig.frame(text))

    @precondition(lambda self: self.under_way == "socket" and not self.logged_in)
    @rule()
    def login_succeeds(self) -> None:
        self.frame_arrives(reply("LOGIN"))

    @precondition(lambda self: self.under_way == "token")
    @rule(works=st.booleans())
    def all_goes_well(self, works: bool) -> None:
        self.token_comes()
        self.socket_opens()
        if works:
            self.login_succeeds()

    @precondition(lambda self: self.rig.state is State.BACKOFF)
    @rule()
    def the_wait_ends(self) -> None:
        self.time_passes((self.rig.session.deadline(self.rig.now) or 0.0) - self.rig.now)

    @rule(seconds=STEPS)
    def time_passes(self, seconds: float) -> None:
        self.watched(lambda: self.rig.wait(seconds))

    @precondition(lambda self: self.under_way == "socket")
    @rule(frames=st.lists(FRAMES, min_size=1, max_size=3), seconds=st.sampled_from([30.0, 61.0, 100.0]))
    def time_passes_with_pings(self, frames: list[str], seconds: float) -> None:
        for _ in range(int(seconds // 10)):
            self.time_passes(10.0)
            for text in [PING, *frames]:
                if self.under_way == "socket":
                    self.frame_arrives(text)

    @rule(topics=TOPICS, elsewhere=st.sets(st.sampled_from([f"{item:06}" for item in range(5)])))
    def clients_want(self, topics: list[str], elsewhere: set[str]) -> None:
        here = [topic for topic in topics if topic.partition(":")[2] not in elsewhere]
        self.watched(lambda: self.rig.do(self.rig.session.want, here, frozenset(elsewhere)))

    @rule(is_open=st.booleans(), trading=st.none() | st.frozensets(st.sampled_from([TOPIC, "0B:000001"])))
    def market_moves(self, is_open: bool, trading: frozenset[str] | None) -> None:
        self.watched(lambda: self.rig.do(self.rig.session.market, is_open=is_open, trading=trading))

    @rule(
        verb=st.sampled_from(["resume", "open_breaker", "close_breaker"]),
        reason=st.sampled_from(["maintenance", "secrets", ""]),
    )
    def a_person_acts(self, verb: str, reason: str) -> None:
        session = self.rig.session
        reason = " ".join(self.known) if reason == "secrets" else reason
        free = session.state is State.PARKED and not session.retry.held
        if verb == "close_breaker" or (verb == "resume" and free):
            # A person begins a new series of attempts, and answers for the kicks so far.
            self.forgiven_at, self.attempts = self.rig.now, 0
            self.kicks.clear()
        self.rig.do(getattr(session, verb), reason)
        self.account()

    def watched(self, event) -> None:
        """Let ``event`` happen; when it makes the session forget its failures, it must have had the right."""
        failures = self.rig.session.retry.failures
        event()
        self.account()
        if failures and not self.rig.session.retry.failures:
            assert self.logged_in
            assert self.rig.now - self.live_since >= RETRY.stable_after
            assert self.row_seen or self.ping_seen
            self.forgiven_at, self.attempts = self.rig.now, 0

    @invariant()
    def attempts_stay_within_the_policy(self) -> None:
        # The clock is a sum of waits, which may miss the policy's own sum by a rounding.
        assert self.attempts <= POLICY.most_attempts(self.rig.now - self.forgiven_at + 1e-6)

    @invariant()
    def a_third_kick_in_ten_minutes_is_the_last(self) -> None:
        for first, third in zip(self.kicks, self.kicks[2:], strict=False):
            if third - first < RETRY.kick_window:
                assert self.rig.state is State.PARKED
                assert self.rig.session.view(self.rig.now).next_attempt is None

    @invariant()
    def while_a_person_holds_the_breaker_nothing_is_tried(self) -> None:
        if self.rig.session.retry.held:
            assert not self.under_way
            assert self.rig.session.view(self.rig.now).next_attempt is None

    @invariant()
    def nothing_shown_holds_a_secret(self) -> None:
        shown = repr(self.rig.session.view(self.rig.now))
        assert not [secret for secret in SECRETS if secret in shown]

    @invariant()
    def the_next_look_is_always_ahead(self) -> None:
        due = self.rig.session.deadline(self.rig.now)
        if self.rig.state not in (State.IDLE, State.PARKED):
            assert due is not None
            assert due - self.rig.now <= max(RETRY.cap, CONFIG.silence_floor * 4.5)

    def teardown(self) -> None:
        self.rig.do(self.rig.session.stop)
        assert self.rig.state is State.IDLE
        self.account()


#: What the shell has under way in each state.
EXPECTED = {
    State.IDLE: "",
    State.BACKOFF: "",
    State.PARKED: "",
    State.TOKEN: "token",
    State.CONNECTING: "connect",
    State.LOGIN: "socket",
    State.LIVE: "socket",
    State.STALE: "socket",
}

TestAnyServer = AnyServer.TestCase
TestAnyServer.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
