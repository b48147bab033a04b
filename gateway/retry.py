"""When to try again: one pure policy that owns every delay. The circuit breaker is its visible state."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from gateway.config import RetryConfig

DUPLICATE_LOGIN = (
    "another program logs in with the same app key; stop it, then resume (the gateway does not fight for it)"
)


class Breaker(StrEnum):
    """Visible state of the circuit breaker. ``half_open`` is one trial attempt while it is open."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Cause(StrEnum):
    """Why an attempt ended, as far as the policy cares."""

    TRANSIENT = "transient"
    FATAL = "fatal"
    KICKED = "kicked"


@dataclass(frozen=True, slots=True)
class RetryState:
    """The policy's memory. ``kicks`` are monotonic seconds of recent duplicate logins.

    ``parked`` holds the reason while parked. ``probing`` says whether a parked session still tries once per
    probe period. ``held`` holds the reason while a person keeps the breaker open.
    """

    failures: int = 0
    kicks: tuple[float, ...] = ()
    parked: str = ""
    probing: bool = True
    held: str = ""

    @property
    def waiting_for_person(self) -> bool:
        """Whether nothing is tried until somebody resumes or closes the breaker."""
        return bool(self.held) or (bool(self.parked) and not self.probing)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """A fold over outcomes. Every method returns a new state; ``random`` is a number in [0, 1)."""

    config: RetryConfig

    def start_delay(self, random: float) -> float:
        """Return the wait at process start in seconds, so that many processes do not start as one."""
        return self.config.start_jitter * random

    def delay(self, failures: int, random: float) -> float:
        """Return the wait in seconds after the ``failures``-th failure in a row (1 or more)."""
        config = self.config
        exponent = min(failures - 1, 64)
        full = min(config.cap, config.base * config.factor**exponent)
        jittered = full * (0.5 + 0.5 * random)
        if failures >= config.breaker_failures:
            return min(config.cap, max(config.breaker_delay, jittered))
        return jittered

    def failed(
        self, state: RetryState, *, now: float, random: float, cause: Cause, reason: str
    ) -> tuple[RetryState, float | None]:
        """Return the state after a failed attempt and the wait before the next one.

        The wait is ``None`` when only a person can start the next attempt.
        """
        config = self.config
        state = replace(state, failures=state.failures + 1)
        if cause is Cause.KICKED:
            recent = tuple(at for at in state.kicks if now - at < config.kick_window)
            state = replace(state, kicks=(*recent, now)[-config.kick_limit :])
            if len(state.kicks) >= config.kick_limit:
                # A probe would end the other program's session, so a duplicate login is never probed.
                state = replace(state, parked=DUPLICATE_LOGIN, probing=False)
        elif cause is Cause.FATAL:
            state = replace(state, parked=reason)
        if not state.parked and state.failures >= config.attempt_limit:
            state = replace(state, parked=f"{state.failures} attempts in a row failed, last: {reason}")
        if state.waiting_for_person:
            return state, None
        if state.parked:
            return state, config.parked_probe
        return state, self.delay(state.failures, random)

    def recovered(self, state: RetryState) -> RetryState:
        """Return the state once a connection has proved itself; kicks stay remembered for their window."""
        return RetryState(kicks=state.kicks, held=state.held)

    def resume(self, state: RetryState) -> RetryState:
        """Return the state after *resume*: parked is forgotten, a breaker held open stays held."""
        return RetryState(held=state.held)

    def hold(self, state: RetryState, reason: str) -> RetryState:
        """Return the state with the breaker opened by hand."""
        return replace(state, held=reason or "no reason given")

    def release(self, state: RetryState) -> RetryState:
        """Return the state with the breaker closed by hand: the next attempt is due at once."""
        return RetryState(kicks=state.kicks)

    def breaker(self, state: RetryState, *, trying: bool) -> Breaker:
        """Return the breaker as shown; ``trying`` is true from the token request until the reset."""
        if state.held:
            return Breaker.OPEN
        if state.parked or state.failures >= self.config.breaker_failures:
            return Breaker.HALF_OPEN if trying else Breaker.OPEN
        return Breaker.CLOSED

    def most_attempts(self, seconds: float) -> int:
        """Return the most attempts that can start within ``seconds`` against a server that never works.

        This is the shortest the table allows: no wait at process start, the least jitter each time, every
        attempt failing at once.
        """
        at, attempts = 0.0, 1
        while attempts < self.config.attempt_limit:
            at += self.delay(attempts, 0.0)
            if at > seconds:
                return attempts
            attempts += 1
        return attempts + int(max(0.0, seconds - at) // self.config.parked_probe)
