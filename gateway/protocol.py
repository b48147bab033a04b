"""Kiwoom's WebSocket and token messages as typed values. Pure: text in, values out; knows no socket.

Errors: :class:`ProtocolError` (a frame that is not Kiwoom's), nothing else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from enum import Enum, StrEnum
from typing import Any, Final

import orjson

KST: Final = timezone(timedelta(hours=9), "KST")

OK: Final = 0
BEFORE_LOGIN: Final = 100013
MISSING_FIELD: Final = 100002
UNKNOWN_TRNM: Final = 105108
TOO_MANY_REQUESTS: Final = 105110
CONNECTION_FULL: Final = 105115
GROUP_FULL: Final = 105118
LOGIN_REJECTED: Final = 805004
TOKEN_MISSING: Final = 805002
INVALID_TOKEN: Final = 8005
KICKED: Final = "R10001"
NO_HEARTBEAT: Final = "R10002"

#: Types about one account's orders and holdings; never shared.
PRIVATE_TYPES: Final = frozenset({"00", "04"})
#: Types of the whole market.
MARKET_WIDE_TYPES: Final = frozenset({"0s", "1h"})
#: Types registered with an empty item although their rows carry one (or carry an empty one).
ITEMLESS_TYPES: Final = PRIVATE_TYPES | MARKET_WIDE_TYPES

#: Longest excerpt of a foreign text kept in an error, in characters.
EXCERPT: Final = 200
#: Rows read from one frame; a frame of 1 MiB holds fewer.
MAX_ROWS: Final = 10_000


class ProtocolError(ValueError):
    """A frame or reply that does not have Kiwoom's shape."""


class Verdict(StrEnum):
    """What a return code asks of the caller."""

    OK = "ok"
    RETRY = "retry"
    RENEW_TOKEN = "renew_token"  # noqa: S105 - the name of a verdict, not a credential
    FATAL = "fatal"
    SLOW_DOWN = "slow_down"
    LOWER_CAP = "lower_cap"


#: Codes that no retry can cure: the key pair, the terminal registration or the server choice is wrong.
FATAL_CODES: Final = frozenset(
    {8001, 8002, 8011, 8012, 8020, 8030, 8031, 8040, 8050, 8104, 8200, TOKEN_MISSING}
)
#: Codes that a new token may cure.
RENEW_CODES: Final = frozenset({8003, INVALID_TOKEN, 8010, 8103})
#: Codes of call limits.
LIMIT_CODES: Final = frozenset({1700, 1701, 1702, TOO_MANY_REQUESTS})

_NUMBER = re.compile(r"-?[0-9]{1,18}")
_EMBEDDED = re.compile(r"CODE=(\d{3,6})|\[(\d{3,6})[:\]]")


class Direction(Enum):
    """A registration frame's ``trnm``."""

    REG = "REG"
    REMOVE = "REMOVE"


@dataclass(frozen=True, slots=True)
class Row:
    """One real-time row. ``encoded`` is compact JSON escaped to ASCII; ``topic`` is how it was registered."""

    topic: str
    encoded: bytes


@dataclass(frozen=True, slots=True)
class LoginReply:
    """Answer to LOGIN."""

    code: int
    message: str


@dataclass(frozen=True, slots=True)
class Ack:
    """Answer to REG or REMOVE; answers come in request order."""

    direction: Direction
    code: int
    message: str


@dataclass(frozen=True, slots=True)
class Ping:
    """Heartbeat; ``text`` is sent back unchanged."""

    text: str


@dataclass(frozen=True, slots=True)
class Real:
    """Rows of one frame, and how many entries of it were not rows."""

    rows: tuple[Row, ...]
    malformed: int = 0


@dataclass(frozen=True, slots=True)
class System:
    """Notice from the server. Never echoed: the server closes a connection that does."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Other:
    """A frame with a ``trnm`` that the gateway has no use for."""

    trnm: str


Frame = LoginReply | Ack | Ping | Real | System | Other


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token; ``expires_at`` is an aware time (Kiwoom states KST wall clock)."""

    value: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Refusal:
    """A failed request: what it asks for, the specific code (0 when none is given) and a short reason."""

    verdict: Verdict
    code: int
    reason: str


def topic_of(kind: str, item: str) -> str:
    """Return the topic ``TYPE:ITEM`` under which rows of ``kind`` and ``item`` are shared."""
    return f"{kind}:" if kind in ITEMLESS_TYPES else f"{kind}:{item}"


def split_topic(topic: str) -> tuple[str, str]:
    """Return ``(type, item)`` of a topic.

    Raises:
        ProtocolError: it has no type.
    """
    kind, colon, item = topic.partition(":")
    if not kind or not colon:
        raise ProtocolError(f"not a topic: {topic[:EXCERPT]!r}")
    return kind, item


def encode_row(values: dict[str, str], kind: str, name: str, item: str) -> bytes:
    """Return one row as compact ASCII JSON with keys in Kiwoom's order."""
    row = {"values": values, "type": kind, "name": name, "item": item}
    return json.dumps(row, ensure_ascii=True, separators=(",", ":")).encode("ascii")


def login(token: str) -> str:
    """Return the LOGIN frame."""
    return orjson.dumps({"trnm": "LOGIN", "token": token}).decode()


def register(direction: Direction, items: Sequence[str], types: Sequence[str]) -> str:
    """Return a REG frame that keeps earlier registrations, or a REMOVE frame, of ``items`` × ``types``."""
    frame: dict[str, Any] = {"trnm": direction.value, "grp_no": "1"}
    if direction is Direction.REG:
        frame["refresh"] = "1"
    frame["data"] = [{"item": list(items), "type": list(types)}]
    return orjson.dumps(frame).decode()


def decode(text: str | bytes) -> Frame:
    """Read one frame.

    Raises:
        ProtocolError: not a JSON object with a ``trnm``, or a reply without a numeric ``return_code``.
    """
    try:
        data = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ProtocolError(f"not JSON: {_excerpt(text)}") from error
    if not isinstance(data, dict) or not isinstance(trnm := data.get("trnm"), str):
        raise ProtocolError(f"no trnm: {_excerpt(text)}")
    match trnm:
        case "REAL":
            return _real(data.get("data"))
        case "PING":
            return Ping(text if isinstance(text, str) else text.decode())
        case "LOGIN":
            return LoginReply(_code(data), _message(data))
        case "REG" | "REMOVE":
            return Ack(Direction(trnm), _code(data), _message(data))
        case "SYSTEM":
            return System(str(data.get("code", ""))[:EXCERPT], str(data.get("message", ""))[:EXCERPT])
        case _:
            return Other(trnm[:EXCERPT])


def embedded_code(message: str) -> int:
    """Return the specific code inside a message (``[8005:…]`` or ``CODE=8005``), 0 when there is none."""
    found = _EMBEDDED.search(message)
    return int(found[1] or found[2]) if found else 0


def classify(code: int, message: str = "") -> Verdict:
    """Return what a return code, or the more specific code inside its message, asks for."""
    if code == OK:
        return Verdict.OK
    for candidate in (embedded_code(message), code):
        if candidate in FATAL_CODES:
            return Verdict.FATAL
        if candidate in RENEW_CODES:
            return Verdict.RENEW_TOKEN
        if candidate in LIMIT_CODES:
            return Verdict.SLOW_DOWN
        if candidate in (CONNECTION_FULL, GROUP_FULL):
            return Verdict.LOWER_CAP
    return Verdict.RETRY


def refusal(code: int, message: str) -> Refusal:
    """Return a failed reply as a :class:`Refusal`."""
    specific = embedded_code(message) or code
    return Refusal(classify(code, message), specific, f"{specific}: {message[:EXCERPT]}")


def read_token(status: int, body: bytes) -> Token | Refusal:
    """Read the token endpoint's reply.

    Kiwoom refuses with HTTP 200 and ``return_code`` 3, limits with 429, and answers maintenance with a
    redirect or an HTML page, so the body decides and the status only helps.
    """
    if status == 429:
        return Refusal(Verdict.SLOW_DOWN, 429, "429: too many token requests")
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        data = None
    if not isinstance(data, dict):
        return Refusal(Verdict.RETRY, status, f"HTTP {status} without JSON (maintenance?)")
    try:
        code = _code(data)
    except ProtocolError:
        return Refusal(Verdict.RETRY, status, f"HTTP {status} without return_code")
    if code != OK:
        return refusal(code, _message(data))
    value, expires = data.get("token"), data.get("expires_dt")
    if not isinstance(value, str) or not value or not isinstance(expires, str):
        return Refusal(Verdict.RETRY, status, "token reply without token or expires_dt")
    try:
        naive = datetime.strptime(expires, "%Y%m%d%H%M%S")  # noqa: DTZ007 - the zone is set on the next line
    except ValueError:
        return Refusal(Verdict.RETRY, status, "token reply with an unreadable expires_dt")
    return Token(value, naive.replace(tzinfo=KST))


def _real(data: object) -> Real:
    rows: list[Row] = []
    malformed = 0
    entries = data if isinstance(data, list) else [data]
    for entry in _bounded(entries):
        row = _row(entry)
        if row is None:
            malformed += 1
        else:
            rows.append(row)
    return Real(tuple(rows), malformed + max(0, len(entries) - MAX_ROWS))


def _row(entry: object) -> Row | None:
    if not isinstance(entry, dict):
        return None
    kind, item, values = entry.get("type"), entry.get("item", ""), entry.get("values")
    if not isinstance(kind, str) or not kind or not isinstance(item, str) or not isinstance(values, dict):
        return None
    text = {fid: value if isinstance(value, str) else _text(value) for fid, value in values.items()}
    return Row(topic_of(kind, item), encode_row(text, kind, str(entry.get("name", "")), item))


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _bounded(entries: Iterable[object]) -> Iterable[object]:
    return (entry for entry, _ in zip(entries, range(MAX_ROWS), strict=False))


def _code(data: dict[str, Any]) -> int:
    raw = data.get("return_code")
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and _NUMBER.fullmatch(raw.strip()):
        return int(raw)
    raise ProtocolError(f"{data.get('trnm', 'reply')} without a numeric return_code")


def _message(data: dict[str, Any]) -> str:
    return str(data.get("return_msg", ""))[:EXCERPT]


def _excerpt(text: str | bytes) -> str:
    return repr(text[:EXCERPT])
