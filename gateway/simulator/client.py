"""Kiwoom's rules for one WebSocket client: LOGIN first, PING, caps, kicks. Frames in, frames out."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gateway import protocol
from gateway.simulator.faults import Fault, FaultState

#: Unique items of one connection, whatever their types.
ITEM_CAP = 200
#: REG and REMOVE frames accepted within one second.
REG_RATE = 5
PING_INTERVAL = 10.0
LOGIN_TIMEOUT = 10.0
LOGIN_LATENCY = 0.02
#: Unanswered PINGs after which the server closes.
MISSED_PINGS = 5
CLOSE_REASON = "Bye"

_BEFORE_LOGIN = "로그인 인증이 들어오기 전에 다른 전문이 들어왔습니다(TRNM=%s)"


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection after what was sent before."""

    code: int = 1000
    reason: str = CLOSE_REASON


@dataclass(frozen=True, slots=True)
class AfterLogin:
    """Send LOGIN's answer a moment later; what arrives before is out of order."""

    token: str


Out = str | Close | AfterLogin


def frame(trnm: str, code: int = 0, message: str = "", **more: Any) -> str:
    """Return an answer in Kiwoom's compact JSON."""
    data = {"trnm": trnm, "return_code": code, "return_msg": message, **more}
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def notice(code: str, message: str) -> str:
    """Return a SYSTEM frame."""
    return json.dumps(
        {"trnm": "SYSTEM", "code": code, "message": message}, ensure_ascii=False, separators=(",", ":")
    )


@dataclass(slots=True)
class Client:
    """One connection. ``find_key`` returns the app key a token was issued to, or ``None``."""

    find_key: Callable[[str], str | None]
    faults: FaultState
    item_cap: int = ITEM_CAP
    app_key: str = ""
    logging_in: bool = False
    missed: int = 0
    registered: dict[str, set[str]] = field(default_factory=dict)
    _regs: deque[float] = field(default_factory=lambda: deque(maxlen=REG_RATE))

    @property
    def logged_in(self) -> bool:
        """Whether LOGIN was answered with code 0."""
        return bool(self.app_key)

    def receive(self, text: str | bytes, now: float) -> list[Out]:
        """Return the answers to one frame at ``now`` (monotonic seconds)."""
        try:
            data = json.loads(text)
        except ValueError:
            data = None
        trnm = data.get("trnm") if isinstance(data, dict) else None
        if not isinstance(trnm, str) or not isinstance(data, dict):
            return [frame("", protocol.MISSING_FIELD, "필수 입력 항목이 없습니다 [trnm]")]
        if trnm == "PING":
            self.missed = 0
            return []
        if trnm == "SYSTEM":
            return [Close()]
        if trnm == "LOGIN" and not self.logged_in and not self.logging_in:
            return self._login(data)
        if not self.logged_in:
            return [frame(trnm, protocol.BEFORE_LOGIN, _BEFORE_LOGIN)]
        match trnm:
            case "LOGIN":
                return [frame("LOGIN", 0, "", sor_yn="Y")]
            case "REG" | "REMOVE":
                return [self._register(trnm, data, now)]
            case "CNSRLST":
                return [frame("CNSRLST", 0, "", data=[])]
            case _:
                return [frame(trnm, protocol.UNKNOWN_TRNM, "지원하지 않는 TRNM 입니다")]

    def finish_login(self, token: str) -> list[Out]:
        """Answer LOGIN; afterwards :attr:`app_key` says whether it succeeded."""
        self.logging_in = False
        key = self.find_key(token)
        rejected = self.faults.code if Fault.LOGIN_REJECT in self.faults else 0
        if key is None or rejected:
            code = rejected or protocol.INVALID_TOKEN
            text = f"인증에 실패했습니다[CODE={code}, MESSAGE=Token이 유효하지 않습니다]"
            return [frame("LOGIN", protocol.LOGIN_REJECTED, text), Close()]
        self.app_key = key
        answer: list[Out] = [frame("LOGIN", 0, "", sor_yn="Y")]
        return [*answer, *self.kick()] if Fault.KICK in self.faults else answer

    def kick(self) -> list[Out]:
        """Tell the client that its app key logged in elsewhere."""
        return [
            notice(protocol.KICKED, "동일한 App key로 접속이 되었습니다. 기존 접속을 종료합니다"),
            Close(),
        ]

    def ping(self) -> list[Out]:
        """Send the next heartbeat, or close a client that missed too many."""
        if self.missed >= MISSED_PINGS:
            return [notice(protocol.NO_HEARTBEAT, "Heartbeat가 수신되지 않아 접속을 종료합니다"), Close()]
        self.missed += 1
        return ['{"trnm":"PING"}']

    def topics(self) -> set[tuple[str, str]]:
        """Return the registered ``(type, item)`` pairs."""
        return {(kind, item) for item, kinds in self.registered.items() for kind in kinds}

    def _login(self, data: dict[str, Any]) -> list[Out]:
        token = data.get("token")
        if not isinstance(token, str) or not token:
            return [frame("LOGIN", protocol.TOKEN_MISSING, "token 값이 없습니다"), Close()]
        self.logging_in = True
        return [AfterLogin(token)]

    def _register(self, trnm: str, data: dict[str, Any], now: float) -> str:
        if len(self._regs) == REG_RATE and now - self._regs[0] < 1.0:
            return frame(trnm, protocol.TOO_MANY_REQUESTS, "실시간 등록 요청 개수를 초과했습니다")
        self._regs.append(now)
        entries = data.get("data")
        if not isinstance(data.get("grp_no"), str) or not isinstance(entries, list):
            return frame(trnm, protocol.MISSING_FIELD, "필수 입력 항목이 없습니다 [grp_no, data]")
        pairs: list[tuple[str, str]] = []
        for entry in entries:
            items, kinds = (_strings(entry.get(name)) for name in ("item", "type"))
            if not kinds:
                return frame(trnm, protocol.MISSING_FIELD, "필수 입력 항목이 없습니다 [type]")
            pairs += [(kind, item) for item in items or [""] for kind in kinds]
        if trnm == "REMOVE":
            self._remove(pairs)
            return frame(trnm)
        kept = {} if data.get("refresh") == "0" else {i: set(kinds) for i, kinds in self.registered.items()}
        for kind, item in pairs:
            kept.setdefault(item, set()).add(kind)
        if len(kept) > self.item_cap:
            return frame(trnm, protocol.CONNECTION_FULL, "실시간 등록 종목 수를 초과했습니다")
        self.registered = kept
        return frame(trnm)

    def _remove(self, pairs: list[tuple[str, str]]) -> None:
        for kind, item in pairs:
            kinds = self.registered.get(item, set())
            kinds.discard(kind)
            if not kinds:
                self.registered.pop(item, None)


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
