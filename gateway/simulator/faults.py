"""Faults that can be switched while the simulator runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """What goes wrong. A fault applies to open connections as well, unless it says *new*."""

    NONE = "none"
    #: TCP connections are reset before any answer.
    REFUSE = "refuse"
    #: New WebSocket connections are opened and closed at once.
    ACCEPT_THEN_CLOSE = "accept-then-close"
    #: New logins are rejected: code 8005 (token) in LOGIN's answer, 8050 (address) when a token is asked for.
    LOGIN_REJECT = "login-reject"
    #: LOGIN, REG and PING work; no row is ever sent.
    MUTE = "mute"
    #: Nothing is sent any more and nothing is closed.
    HALF_OPEN = "half-open"
    #: Every answer takes SLOW_SECONDS longer.
    SLOW = "slow"
    #: Each login is followed by the notice of a duplicate login and a close.
    KICK = "kick"
    #: Frames that are no JSON or have a wrong shape are mixed into the rows.
    GARBAGE = "garbage"
    #: A frame of OVERSIZED_BYTES follows each login.
    OVERSIZED = "oversized"
    #: Token requests are answered with 429.
    TOKEN_429 = "token-429"  # noqa: S105 - the name of a fault, not a credential


SLOW_SECONDS = 3.0
OVERSIZED_BYTES = 2 * 1024 * 1024
REJECT_CODES = (8005, 8050)


@dataclass(slots=True)
class FaultState:
    """The active fault; ``code`` refines ``login-reject``."""

    fault: Fault = Fault.NONE
    code: int = 8005

    def switch(self, name: object, code: object = None) -> None:
        """Make ``name`` the active fault. ``login-reject-8050`` is short for a name and a code.

        Raises:
            ValueError: there is no such fault or code.
        """
        text = str(name)
        for known in REJECT_CODES:
            if text == f"{Fault.LOGIN_REJECT}-{known}":
                text, code = str(Fault.LOGIN_REJECT), known
        chosen = Fault(text)
        number = REJECT_CODES[0] if code is None else code
        if number not in REJECT_CODES:
            raise ValueError(f"code must be one of {REJECT_CODES}")
        assert isinstance(number, int)  # noqa: S101 - it is in REJECT_CODES; tells the type checker so
        self.fault, self.code = chosen, number

    def __contains__(self, fault: Fault) -> bool:
        return self.fault is fault
