"""Which lines a session writes: changes once, a summary a minute while failing. Pure."""

from __future__ import annotations

#: Seconds between summaries while failing, and while parked.
SUMMARY_EVERY = 60.0
PARKED_SUMMARY_EVERY = 600.0


class Reporter:
    """Decides about lines from what happened; times are monotonic seconds.

    A server that lets the gateway in and throws it out again gets one pair of lines, then only summaries,
    until a connection proves itself.
    """

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self.due: float | None = None
        self._every = SUMMARY_EVERY
        self._failing_since: float | None = None
        self._attempts = 0
        self._flapping = self._parked = False

    def attempt(self, now: float) -> None:
        """Note the start of an attempt."""
        self._attempts += 1
        if self._failing_since is None:
            self._failing_since = now

    def live(self, now: float) -> str:
        """Return the line for a successful LOGIN, or an empty text."""
        self.due = now + SUMMARY_EVERY if self._flapping else None
        if self._flapping:
            return ""
        return f"live{self._effort(now)}"

    def stable(self, now: float) -> str:
        """Return the line for a connection that proved itself, or an empty text; the effort is forgotten."""
        line = f"live and stable{self._effort(now)}" if self._flapping or self._parked else ""
        self._reset()
        return line

    def failed(
        self,
        now: float,
        reason: str,
        delay: float | None,
        *,
        was_live: bool,
        stable: bool,
        parked: bool,
    ) -> str:
        """Return the line for a failed attempt, or an empty text when the summary will tell it."""
        first = self.due is None and not self._flapping
        if self._failing_since is None:
            self._failing_since = now
        if was_live and not stable:
            self._flapping = True
        newly_parked = parked and not self._parked
        self._parked = self._parked or parked
        self._every = PARKED_SUMMARY_EVERY if parked else SUMMARY_EVERY
        if not first and not newly_parked:
            self.due = now + self._every if self.due is None else self.due
            return ""
        self.due = now + self._every
        following = "waiting for a person" if delay is None else f"next in {delay:.0f} s"
        if newly_parked:
            return f"parked: {reason}; {following}"
        return f"{'connection lost' if was_live else 'cannot connect'}: {reason}; {following}"

    def summary(self, now: float, next_in: float | None, last_error: str) -> str:
        """Return the periodic line when it is due, or an empty text."""
        if self.due is None or now < self.due:
            return ""
        self.due = now + self._every
        following = "" if next_in is None else f", next in {next_in:.0f} s"
        state = "parked, " if self._parked else ""
        return f"{state}{self._count(now)}, last: {last_error or 'none'}{following}"

    def _effort(self, now: float) -> str:
        return f" after {self._count(now)}" if self._attempts > 1 else ""

    def _count(self, now: float) -> str:
        minutes = (now - (self._failing_since or now)) / 60
        plural = "" if self._attempts == 1 else "s"
        return f"{self._attempts} attempt{plural} in {minutes:.0f} min"
