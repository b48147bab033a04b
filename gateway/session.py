"""One upstream session as a state machine without I/O: frames, results and a clock in, actions out.

Every method takes ``now`` in monotonic seconds and returns the actions its shell must carry out in order.
Errors: :class:`IllegalMove`, raised when the shell reports something that cannot happen in this state.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Set

from gateway import protocol
from gateway.actions import (
    Action,
    Announce,
    Connect,
    Disconnect,
    FetchToken,
    Log,
    Publish,
    Record,
    Send,
)
from gateway.config import AppKey, UpstreamConfig
from gateway.masking import mask
from gateway.protocol import Refusal, Token, Verdict
from gateway.registrar import Registrar
from gateway.report import Reporter
from gateway.retry import Cause, RetryPolicy, RetryState
from gateway.states import CONNECTED, LIVELY, MOVES, TRYING, IllegalMove, State, View
from gateway.watch import Watch


class Session:
    """See the module. ``random`` returns numbers in [0, 1) for jitter."""

    def __init__(self, config: UpstreamConfig, key: AppKey, *, random: Callable[[], float]) -> None:
        self._config = config
        self._random = random
        self._policy = RetryPolicy(config.retry)
        self.retry = RetryState()
        self.state = State.IDLE
        self._since = 0.0
        self._secrets = {key.app_key, key.secret_key}
        self._token = ""
        self.registrar = Registrar(config)
        self._watch = Watch(config)
        self._reporter = Reporter()
        self._attempts_total = 0
        self._started = 0.0
        self._delay_before = 0.0
        self._deadline: float | None = None
        self._renew = False
        self._renewed = False
        self._last_error = ""
        self._rows_in = 0
        self._market_open = True
        self._trading: frozenset[str] | None = None
        self._ticked_at = 0.0
        self._out: list[Action] = []

    # -- what the shell reports ------------------------------------------------------------------------

    def start(self, now: float, *, at_once: bool = False) -> list[Action]:
        """Begin; waits a random moment first unless ``at_once`` (a standby that takes over).

        While a person holds the breaker open nothing begins.
        """
        self._expect(State.IDLE)
        if self.retry.held:
            self._move(State.PARKED, now)
            return self._flush()
        self._move(State.BACKOFF, now)
        delay = 0.0 if at_once else self._policy.start_delay(self._random())
        self._delay_before, self._deadline = delay, now + delay
        return self.tick(now)

    def stop(self, now: float) -> list[Action]:
        """End: the process stops or lost its ownership."""
        if self.state is not State.IDLE:
            if self.state in TRYING:
                self._end_attempt(now, "stopped", "the gateway stopped or handed over")
            self._move(State.IDLE, now)
            self._deadline = None
        return self._flush()

    def token(self, now: float, result: Token | Refusal) -> list[Action]:
        """Take the result of :class:`FetchToken`."""
        self._expect(State.TOKEN)
        if isinstance(result, Token):
            self._token = result.value
            self._move(State.CONNECTING, now)
            self._deadline = now + self._config.open_timeout
            self._do(Connect())
        else:
            cause = Cause.FATAL if result.verdict is Verdict.FATAL else Cause.TRANSIENT
            self._fail(now, "token", f"token refused, {result.reason}", cause)
        return self._flush()

    def opened(self, now: float) -> list[Action]:
        """Take the result of :class:`Connect`: the WebSocket is open."""
        self._expect(State.CONNECTING)
        self._move(State.LOGIN, now)
        self._watch.opened(now)
        self._deadline = now + self._config.login_timeout
        self._do(Send(protocol.login(self._token)))
        return self._flush()

    def broke(self, now: float, outcome: str, reason: str) -> list[Action]:
        """Take the failure of the token request or handshake, or the end of the connection.

        A close is never a clean end here, not even code 1000.
        """
        if self.state not in TRYING:
            raise IllegalMove(f"nothing can break in {self.state}")
        self._fail(now, outcome, reason)
        return self._flush()

    def received(self, now: float, text: str | bytes) -> list[Action]:
        """Take one frame."""
        if self.state not in CONNECTED:
            raise IllegalMove(f"a frame in {self.state}")
        try:
            frame = protocol.decode(text)
        except protocol.ProtocolError as error:
            if self._watch.garbage(now):
                self._log(logging.WARNING, f"ignoring frames that are not Kiwoom's, first: {error}")
            return self._flush()
        self._watch.frame(now)
        match frame:
            case protocol.Ping():
                self._watch.ping(now)
                self._do(Send(frame.text))
            case protocol.Real():
                self._real(now, frame)
            case protocol.LoginReply():
                self._login_reply(now, frame)
            case protocol.Ack():
                self._ack(now, frame)
            case protocol.System():
                self._system(now, frame)
            case protocol.Other():
                pass
        return self.tick(now)

    def want(self, now: float, topics: Iterable[str], elsewhere: Set[str] = frozenset()) -> list[Action]:
        """Set the topics that clients want here; ``elsewhere`` are items that another session carries."""
        self.registrar.planner.want(topics, now, elsewhere)
        return self.tick(now)

    def market(self, now: float, *, is_open: bool, trading: frozenset[str] | None = None) -> list[Action]:
        """Say whether the market trades now, and which topics' venues do (None: all)."""
        self._trading = trading
        self.registrar.silence.trading(trading, now)
        if is_open != self._market_open:
            self._market_open = is_open
            self._watch.market_changed(now)
            self._do(Announce())
        return self.tick(now)

    def tick(self, now: float) -> list[Action]:
        """Let time pass; call it at :meth:`deadline`."""
        self._ticked_at = now
        if self._deadline is not None and now >= self._deadline:
            self._expired(now)
        if self.state in LIVELY:
            self._supervise(now)
        if line := self._reporter.summary(now, self._next_in(now), self._last_error):
            self._log(logging.WARNING, line)
        return self._flush()

    # -- what a person asks ----------------------------------------------------------------------------

    def resume(self, now: float, reason: str = "") -> list[Action]:
        """Leave PARKED and try at once; nothing else changes."""
        if self.state is State.PARKED and not self.retry.held:
            self.retry = self._policy.resume(self.retry)
            self._log(logging.WARNING, f"resumed by hand: {self._scrub(reason)}")
            self._try_now(now)
        return self._flush()

    def open_breaker(self, now: float, reason: str) -> list[Action]:
        """Disconnect and stay so until :meth:`close_breaker`."""
        self.retry = self._policy.hold(self.retry, self._scrub(reason))
        self._log(logging.WARNING, f"breaker opened by hand: {self.retry.held}")
        if self.state in TRYING:
            self._end_attempt(now, "held", self.retry.held)
        if self.state not in (State.PARKED, State.IDLE):
            self._move(State.PARKED, now)
        self._deadline = None
        self._last_error = f"breaker opened by hand: {self.retry.held}"
        self._do(Announce())
        return self._flush()

    def close_breaker(self, now: float, reason: str) -> list[Action]:
        """Close the breaker, forget the failures, try at once when waiting."""
        self.retry = self._policy.release(self.retry)
        self._log(logging.WARNING, f"breaker closed by hand: {self._scrub(reason)}")
        if self.state in (State.PARKED, State.BACKOFF):
            self._try_now(now)
        self._do(Announce())
        return self._flush()

    # -- what the shell reads --------------------------------------------------------------------------

    def deadline(self, now: float) -> float | None:
        """Return when :meth:`tick` is due next (monotonic seconds), or ``None``."""
        due = [self._deadline, self._reporter.due]
        if self.state in LIVELY:
            due += [self._watch.due(self._ticked_at, self._stale_possible()), self.registrar.due(now)]
        return min((at for at in due if at is not None), default=None)

    def view(self, now: float) -> View:
        """Return what the session shows now."""
        trying = self.state in TRYING and not self._watch.stable
        waiting = self.state in (State.BACKOFF, State.PARKED)
        return View(
            state=self.state,
            since=self._since,
            attempts=self.retry.failures + (1 if trying else 0),
            attempts_total=self._attempts_total,
            next_attempt=self._deadline if waiting else None,
            breaker=self._policy.breaker(self.retry, trying=self.state in TRYING),
            held=bool(self.retry.held),
            last_error=self._last_error,
            places=self.registrar.places(now, others_tick=self._watch.ticks(now)),
            rows_in=self._rows_in,
            last_row=self._watch.last_row,
            last_frame=self._watch.last_frame,
            market_open=self._market_open,
        )

    # -- inside ----------------------------------------------------------------------------------------

    def _real(self, now: float, frame: protocol.Real) -> None:
        if frame.malformed and self._watch.garbage(now):
            self._log(logging.WARNING, f"ignoring {frame.malformed} malformed rows")
        if not frame.rows or self.state is State.LOGIN:
            return
        self._rows_in += len(frame.rows)
        self._watch.rows(now, frame.rows)
        self.registrar.silence.rows(frame.rows)
        self._do(Publish(frame.rows))
        if self.state is State.STALE:
            self._move(State.LIVE, now)
            self._log(logging.WARNING, "rows arrive again")

    def _login_reply(self, now: float, reply: protocol.LoginReply) -> None:
        if self.state is not State.LOGIN:
            return
        verdict = protocol.classify(reply.code, reply.message)
        if verdict is Verdict.OK:
            self._move(State.LIVE, now)
            self._deadline = None
            self._watch.live(now)
            self._record(now, "live")
            if line := self._reporter.live(now):
                self._log(logging.INFO, line)
            return
        refused = protocol.refusal(reply.code, reply.message)
        cause = Cause.FATAL if verdict is Verdict.FATAL else Cause.TRANSIENT
        if verdict is Verdict.RENEW_TOKEN:
            # A token is renewed once; a fresh one that is rejected too means that the key is wrong.
            cause = Cause.FATAL if self._renewed else Cause.TRANSIENT
            self._renew = self._renewed = True
        self._fail(now, "rejected", f"LOGIN rejected, {refused.reason}", cause)

    def _ack(self, now: float, ack: protocol.Ack) -> None:
        if trouble := self.registrar.acknowledged(ack, now):
            self._last_error = self._scrub(trouble)
            if self._watch.complained(now):
                self._log(logging.WARNING, trouble)
        elif self.registrar.planner.settled:
            self._do(Announce())

    def _system(self, now: float, frame: protocol.System) -> None:
        if frame.code == protocol.KICKED:
            self._fail(now, "kicked", f"{frame.code}: {frame.message}", Cause.KICKED)
        elif frame.code == protocol.NO_HEARTBEAT:
            self._fail(now, "closed", f"{frame.code}: {frame.message}")

    def _supervise(self, now: float) -> None:
        stale_possible = self._stale_possible()
        if self._watch.dead(now):
            self._fail(now, "silent", f"no frame for {self._watch.silence(now):.0f} s")
        elif self.registrar.overdue(now):
            self._fail(now, "timeout", "REG or REMOVE was not answered in time")
        elif self.state is State.LIVE and self._watch.stale(now, stale_possible):
            self._move(State.STALE, now)
            self._log(logging.WARNING, f"no row for {self._config.stale_after:.0f} s in market hours")
        elif self.state is State.STALE and self._watch.worth_reconnecting(now, stale_possible):
            self._fail(now, "stale", "connected, but rows stopped")
        elif self.state is State.STALE and not stale_possible:
            self._move(State.LIVE, now)
        if self.state not in LIVELY:
            return
        quiet = not self.registrar.planner.registered or not self._market_open
        if self._watch.became_stable(now, quiet=quiet):
            self.retry = self._policy.recovered(self.retry)
            self._renewed, self._last_error = False, ""
            if line := self._reporter.stable(now):
                self._log(logging.INFO, line)
            self._do(Announce())
        self.registrar.supervise(now, others_tick=self._watch.ticks(now))
        for text in self.registrar.frames(now):
            self._do(Send(text))

    def _stale_possible(self) -> bool:
        topics, trading = self.registrar.planner.registered, self._trading
        expected = (topic for topic in topics if trading is None or topic in trading)
        return self._market_open and self._watch.ticked_any(expected)

    def _expired(self, now: float) -> None:
        match self.state:
            case State.BACKOFF | State.PARKED:
                self._begin(now)
            case State.TOKEN:
                self._fail(now, "timeout", "the token request took too long")
            case State.CONNECTING:
                self._fail(now, "timeout", "the WebSocket did not open in time")
            case State.LOGIN:
                self._fail(now, "timeout", "LOGIN was not answered in time")
            case _:
                self._deadline = None

    def _try_now(self, now: float) -> None:
        if self.state is State.PARKED:
            self._move(State.BACKOFF, now)
        self._delay_before = 0.0
        self._begin(now)

    def _begin(self, now: float) -> None:
        self._move(State.TOKEN, now)
        self._attempts_total += 1
        self._started = now
        self._deadline = now + self._config.open_timeout
        self._watch.reset()
        self._reporter.attempt(now)
        self._do(FetchToken(renew=self._renew))
        self._renew = False

    def _fail(self, now: float, outcome: str, reason: str, cause: Cause = Cause.TRANSIENT) -> None:
        was_live, stable = self.state in LIVELY, self._watch.stable
        self._last_error = self._scrub(reason)
        self._end_attempt(now, outcome, self._last_error)
        self.retry, delay = self._policy.failed(
            self.retry, now=now, random=self._random(), cause=cause, reason=self._last_error
        )
        self._delay_before = delay or 0.0
        self._deadline = None if delay is None else now + delay
        parked = self.retry.parked or self.retry.held
        self._move(State.PARKED if parked else State.BACKOFF, now)
        if parked:
            self._last_error = self._scrub(parked)
        line = self._reporter.failed(
            now, self._last_error, delay, was_live=was_live, stable=stable, parked=bool(parked)
        )
        if line:
            self._log(logging.WARNING, line)

    def _end_attempt(self, now: float, outcome: str, reason: str) -> None:
        self._record(now, outcome, reason)
        self._do(Disconnect())
        self.registrar.reset(now)

    def _record(self, now: float, outcome: str, reason: str = "") -> None:
        live_for = self._watch.live_for(now)
        self._do(Record(self._attempts_total, self._started, self._delay_before, outcome, reason, live_for))

    def _next_in(self, now: float) -> float | None:
        waiting = self.state in (State.BACKOFF, State.PARKED) and self._deadline is not None
        return max(0.0, (self._deadline or now) - now) if waiting else None

    def _scrub(self, text: str) -> str:
        return mask(text, (*self._secrets, self._token))

    def _move(self, state: State, now: float) -> None:
        if state not in MOVES[self.state]:
            raise IllegalMove(f"{self.state} to {state}")
        self.state, self._since = state, now
        self._do(Announce())

    def _expect(self, state: State) -> None:
        if self.state is not state:
            raise IllegalMove(f"{self.state} instead of {state}")

    def _log(self, level: int, message: str) -> None:
        self._do(Log(level, self._scrub(message)))

    def _do(self, action: Action) -> None:
        self._out.append(action)

    def _flush(self) -> list[Action]:
        out, self._out = self._out, []
        return out
