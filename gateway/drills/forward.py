"""The session machine fast-forwarded: the real code and settings on a clock that is turned by hand."""

from __future__ import annotations

from gateway.actions import Action, Connect, FetchToken, Log
from gateway.config import AppKey, UpstreamConfig
from gateway.drills.plan import ATTEMPT_LIMIT, Forward
from gateway.protocol import Refusal, Verdict
from gateway.session import Session
from gateway.states import State

#: Attempts after which the session is taken for one that never gives up.
MOST = 5 * ATTEMPT_LIMIT
_REFUSED = Refusal(Verdict.RETRY, 0, "nobody answers")


def fast_forward(config: UpstreamConfig, key: AppKey) -> Forward:
    """Let every attempt fail at once until the session parks, or has tried :data:`MOST` times.

    The waits are the longest that the policy gives, so that the seconds are an upper bound.
    """
    session = Session(config, key, random=lambda: 1.0)
    now, attempts, lines = 0.0, 0, 0
    todo: list[Action] = session.start(now, at_once=True)
    while attempts < MOST and session.state is not State.PARKED:
        lines += sum(isinstance(action, Log) for action in todo)
        if any(isinstance(action, FetchToken | Connect) for action in todo):
            attempts += 1
            todo = session.token(now, _REFUSED)
            continue
        due = session.deadline(now)
        if due is None:
            break
        now = max(now, due)
        todo = session.tick(now)
    lines += sum(isinstance(action, Log) for action in todo)
    return Forward(attempts, session.state is State.PARKED, round(now, 1), lines)
