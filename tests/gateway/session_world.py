"""A session with its clock in the test's hand, and the frames that Kiwoom sends."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from gateway.actions import Action, Log, Record, Send
from gateway.config import AppKey, Mode, UpstreamConfig
from gateway.protocol import Token, refusal
from gateway.session import Session
from gateway.states import State

A = TypeVar("A", bound=Action)

APP_KEY, SECRET_KEY, TOKEN = "app-key-of-the-test", "secret-key-of-the-test", "token-of-the-test"
SECRETS = (APP_KEY, SECRET_KEY, TOKEN)
KEY = AppKey("key-1", APP_KEY, SECRET_KEY)
CONFIG = UpstreamConfig(
    mode=Mode.SIMULATOR, rest_url="http://127.0.0.1:1", ws_url="ws://127.0.0.1:1", keys=(KEY,)
)
PING = '{"trnm":"PING"}'
TOPIC = "0B:005930"


def token(value: str = TOKEN) -> Token:
    """Return a token of the next day."""
    return Token(value, datetime.now(UTC) + timedelta(days=1))


def reply(trnm: str, code: int = 0, message: str = "") -> str:
    """Return an answer to LOGIN, REG or REMOVE."""
    return json.dumps({"trnm": trnm, "return_code": code, "return_msg": message})


def rejected(code: int) -> str:
    """Return LOGIN's answer to a bad token, in Kiwoom's words, just before it closes."""
    return reply("LOGIN", 805004, f"인증에 실패했습니다[CODE={code}, MESSAGE=Token이 유효하지 않습니다]")


def system(code: str) -> str:
    """Return a notice of the server."""
    return json.dumps({"trnm": "SYSTEM", "code": code, "message": "동일한 App key로 접속이 되었습니다"})


def real(*topics: str) -> str:
    """Return a REAL frame with a row of each topic."""
    rows = []
    for topic in topics or (TOPIC,):
        kind, _, item = topic.partition(":")
        rows.append({"values": {"10": "-61100"}, "type": kind, "name": "주식체결", "item": item})
    return json.dumps({"data": rows, "trnm": "REAL"})


class Rig:
    """One session with the rig in the shell's place; ``random`` is what its dice show."""

    def __init__(self, *, random: float = 0.0, config: UpstreamConfig = CONFIG, **changes: Any) -> None:
        self.now = 1000.0
        self.session = Session(replace(config, **changes), KEY, random=lambda: random)
        self.actions: list[Action] = []

    @property
    def state(self) -> State:
        """Where the session stands."""
        return self.session.state

    def do(self, event: Callable[..., list[Action]], *arguments: Any, **named: Any) -> list[Action]:
        """Report one event now and return what the session asks for."""
        out = event(self.now, *arguments, **named)
        self.actions += out
        return out

    def start(self) -> list[Action]:
        """Start without waiting."""
        return self.do(self.session.start, at_once=True)

    def frame(self, text: str) -> list[Action]:
        """Let one frame arrive."""
        return self.do(self.session.received, text)

    def login(self) -> Rig:
        """Bring a started session to LIVE."""
        self.do(self.session.token, token())
        self.do(self.session.opened)
        self.frame(reply("LOGIN"))
        return self

    def live(self, *topics: str) -> Rig:
        """Bring a new session to LIVE with ``topics`` registered."""
        self.start()
        self.login()
        if topics:
            self.do(self.session.want, topics)
            self.frame(reply("REG"))
        return self

    def broken(self) -> list[Action]:
        """Let whatever is under way break."""
        return self.do(self.session.broke, "closed", "closed by the server with 1000 Bye")

    def refuse(self, code: int, message: str = "") -> list[Action]:
        """Let the token endpoint refuse."""
        return self.do(self.session.token, refusal(code, message))

    def wait(self, seconds: float, *frames: str, every: float = 10.0) -> list[Action]:
        """Let time pass, ticking when the session asks for it, with ``frames`` each ``every`` seconds.

        Frames stop when the session is no longer connected.
        """
        out, until = [], self.now + seconds
        arrival = self.now + every if frames else float("inf")
        for _ in range(100_000):
            due = self.session.deadline(self.now)
            at = min(until, arrival, float("inf") if due is None else max(due, self.now))
            self.now = at
            out += self.do(self.session.tick)
            if at == arrival:
                arrival += every
                for text in frames:
                    if self.state in (State.LOGIN, State.LIVE, State.STALE):
                        out += self.frame(text)
            if at >= until and (due is None or due > until):
                return out
        raise AssertionError(f"the session asks for ticks without end at {self.now}")

    def to(self, state: State) -> Rig:
        """Bring a new session to ``state``."""
        steps: dict[State, list[Callable[[], Any]]] = {
            State.IDLE: [],
            State.TOKEN: [self.start],
            State.CONNECTING: [self.start, lambda: self.do(self.session.token, token())],
            State.LOGIN: [
                self.start,
                lambda: self.do(self.session.token, token()),
                lambda: self.do(self.session.opened),
            ],
            State.LIVE: [self.live],
            State.STALE: [
                lambda: self.live(TOPIC),
                lambda: self.frame(real()),
                lambda: self.wait(90.0, PING),
            ],
            State.BACKOFF: [self.start, self.broken],
            State.PARKED: [self.start, lambda: self.refuse(8050)],
        }
        for step in steps[state]:
            step()
        assert self.state is state
        return self


def of(kind: type[A], actions: list[Action]) -> list[A]:
    """Return the actions of one kind."""
    return [action for action in actions if isinstance(action, kind)]


def names(actions: list[Action]) -> list[str]:
    """Return the kinds of actions in order, without Announce and Record, which say nothing to the server."""
    return [
        type(action).__name__ for action in actions if type(action).__name__ not in ("Announce", "Record")
    ]


def sent(actions: list[Action]) -> list[dict[str, Any]]:
    """Return the frames sent."""
    return [json.loads(action.text) for action in of(Send, actions)]


def lines(actions: list[Action]) -> list[str]:
    """Return the lines logged."""
    return [action.message for action in of(Log, actions)]


def outcomes(actions: list[Action]) -> list[str]:
    """Return the outcomes recorded."""
    return [action.outcome for action in of(Record, actions)]
