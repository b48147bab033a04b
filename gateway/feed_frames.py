"""Frames of ``/ws`` as its clients send and receive them: Kiwoom's shapes, checked on the way in.

Outgoing frames are ASCII text, so that their length in characters is their length in bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Annotated, Any, Literal

import orjson
from django.utils.translation import gettext as _
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.feed_sink import Frame
from gateway.protocol import MARKET_WIDE_TYPES, PRIVATE_TYPES

#: Real-time types that carry market data.
MARKET_TYPES = frozenset(
    ("0A", "0B", "0C", "0D", "0E", "0F", "0G", "0H", "0I", "0J", "0U", "0g", "0m", "0s", "0u", "0w", "1h")
)
CONDITION_SEARCH = frozenset({"CNSRLST", "CNSRREQ", "CNSRCLR", "GCNSRLST", "GCNSRREQ", "GCNSRCLR"})
#: What a client may send back without meaning anything by it.
IGNORED = frozenset({"PING", "PONG", "SYSTEM", "REAL"})
#: Longest trnm that is repeated in an error.
TRNM_MAX = 20
#: Pairs of type and item in one REG or REMOVE: 16 KiB of short names would multiply to millions.
PAIRS_MAX = 10_000

#: Where a row ends and the next begins. A quote within a JSON string is always escaped, so that this text
#: cannot occur inside a row.
_NEXT_ROW = b',{"values":'
PING = '{"trnm":"PING"}'
_ITEM = re.compile(r"[0-9A-Za-z_.\-]{1,20}", re.ASCII)


class Code(IntEnum):
    """``return_code`` of replies: Kiwoom's own, and one of ours for what Kiwoom has no code for."""

    OK = 0
    BAD_FIELD = 100002
    NOT_LOGGED_IN = 100013
    UNKNOWN_TRNM = 105108
    TOO_MANY_ITEMS = 105115
    NO_TOKEN = 805002
    BAD_TOKEN = 805004
    NOT_ALLOWED = 900403


class Close(IntEnum):
    """Why a connection ends. 1012, 1013, 4408 and 4429 invite to come back."""

    UNSUPPORTED_DATA = 1003
    TOO_BIG = 1009
    RESTARTING = 1012
    TRY_LATER = 1013
    BAD_KEY = 4401
    NOT_ALLOWED = 4403
    TOO_SLOW = 4408
    OVER_LIMIT = 4429


class System(StrEnum):
    """Codes of our SYSTEM frames; Kiwoom's own begin with R."""

    LIVE = "B1001"
    RECONNECTING = "B1002"
    STALE = "B1003"
    PARKED = "B1004"
    CLOSED = "B1005"
    DROPPED = "B1006"
    SNAPSHOT = "B1007"
    GAP = "B1008"
    RIGHTS = "B1009"


class BadFrame(Exception):
    """An inbound frame that is answered with an error; ``reply`` is that answer."""

    def __init__(self, trnm: str, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reply = reply(trnm, code, message)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How to close a connection: ``retry_after`` in seconds when coming back makes sense."""

    code: Close
    message: str
    retry_after: float | None = None

    @property
    def reason(self) -> str:
        """The close frame's reason: JSON of at most 123 bytes."""
        body: dict[str, Any] = {"reason": self.message[:80]}
        if self.retry_after is not None:
            body["retry_after"] = round(self.retry_after, 1)
        return orjson.dumps(body).decode()


class _Entry(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)

    item: Annotated[list[str], Field(fail_fast=True)] | str
    type: Annotated[list[str], Field(fail_fast=True)] | str

    @property
    def kinds(self) -> list[str]:
        """The types."""
        return [self.type] if isinstance(self.type, str) else self.type

    @property
    def items(self) -> list[str]:
        """The items; none at all means the empty one."""
        return [self.item] if isinstance(self.item, str) else self.item or [""]

    def pairs(self) -> Iterable[tuple[str, str]]:
        """Yield (type, item) of the cross product."""
        return ((kind, item.strip()) for kind in self.kinds for item in self.items)


class _Registration(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)

    grp_no: str = "1"
    refresh: Literal["0", "1", ""] = "1"
    data: list[_Entry] | None = Field(default=None, fail_fast=True)


@dataclass(frozen=True, slots=True)
class Registration:
    """A REG or REMOVE: ``pairs`` are (type, item); None means the whole group."""

    trnm: str
    group: str
    replace: bool
    pairs: tuple[tuple[str, str], ...] | None


def is_item(item: str) -> bool:
    """Tell whether ``item`` can be an item code (``005930``, ``005930_NX``, ``MGD``)."""
    return _ITEM.fullmatch(item) is not None


def parse(text: str) -> tuple[str, dict[str, Any]]:
    """Read one text frame and return its trnm and body.

    Raises:
        BadFrame: it is not a JSON object with a trnm.
    """
    try:
        body = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadFrame("", Code.BAD_FIELD, _("The frame is not JSON.")) from error
    if not isinstance(body, dict):
        raise BadFrame("", Code.BAD_FIELD, _("The frame is not a JSON object."))
    trnm = body.get("trnm")
    if not isinstance(trnm, str) or not trnm:
        raise BadFrame("", Code.BAD_FIELD, _("The required field trnm is missing."))
    return trnm, body


def parse_registration(trnm: str, body: dict[str, Any]) -> Registration:
    """Read a REG's or REMOVE's fields.

    Raises:
        BadFrame: a field is missing or wrong.
    """
    try:
        checked = _Registration.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        message = _("Field %(field)s is wrong: %(problem)s.") % {"field": place, "problem": first["msg"]}
        raise BadFrame(trnm, Code.BAD_FIELD, message[:200]) from error
    if len(checked.grp_no) > 4:
        raise BadFrame(trnm, Code.BAD_FIELD, _("grp_no has at most 4 characters."))
    if checked.data is None:
        if trnm == "REG":
            raise BadFrame(trnm, Code.BAD_FIELD, _("The required field data is missing."))
        return Registration(trnm, checked.grp_no, False, None)
    if sum(len(entry.kinds) * len(entry.items) for entry in checked.data) > PAIRS_MAX:
        message = _("More than %(limit)s pairs of type and item in one frame.") % {"limit": PAIRS_MAX}
        raise BadFrame(trnm, Code.TOO_MANY_ITEMS, message)
    pairs = tuple(dict.fromkeys(pair for entry in checked.data for pair in entry.pairs()))
    return Registration(trnm, checked.grp_no, checked.refresh == "0", pairs)


def check_pair(trnm: str, kind: str, item: str) -> None:
    """Refuse what cannot be registered by anyone.

    Raises:
        BadFrame: the type is private or unknown, or the item is not an item code.
    """
    if kind in PRIVATE_TYPES:
        message = _("Type %(type)s is about one account and is never shared.") % {"type": kind}
        raise BadFrame(trnm, Code.NOT_ALLOWED, message)
    if kind not in MARKET_TYPES:
        raise BadFrame(trnm, Code.BAD_FIELD, _("Unknown type %(type)s.") % {"type": repr(kind[:10])})
    if not item and kind not in MARKET_WIDE_TYPES:
        raise BadFrame(trnm, Code.BAD_FIELD, _("Type %(type)s needs an item.") % {"type": kind})
    if item and not is_item(item):
        raise BadFrame(trnm, Code.BAD_FIELD, _("Not an item code: %(item)s.") % {"item": repr(item[:20])})


def encode(body: dict[str, Any]) -> str:
    """Return ``body`` as compact JSON escaped to ASCII."""
    return json.dumps(body, separators=(",", ":"))


def reply(trnm: str, code: int = Code.OK, message: str = "") -> str:
    """Return the answer to one request; Kiwoom's carry no ``data``."""
    return encode({"trnm": trnm[:TRNM_MAX], "return_code": int(code), "return_msg": message})


def login_reply() -> str:
    """Return the answer to a LOGIN that succeeded."""
    return encode({"trnm": "LOGIN", "return_code": 0, "return_msg": "", "sor_yn": "Y"})


def system(code: System, message: str, **details: Any) -> str:
    """Return a SYSTEM frame; details that are None are left out."""
    body = {"trnm": "SYSTEM", "code": code.value, "message": message}
    return encode(body | {name: value for name, value in details.items() if value is not None})


def real(rows: Iterable[bytes]) -> Frame:
    """Return a REAL frame of ``ROW,ROW`` parts that are already encoded and escaped to ASCII."""
    joined = b",".join(rows)
    return Frame(b'{"data":[%b],"trnm":"REAL"}' % joined, count_rows(joined))


def last_row(rows: bytes) -> bytes:
    """Return the newest of ``ROW,ROW``."""
    start = rows.rfind(_NEXT_ROW)
    return rows if start < 0 else rows[start + 1 :]


def count_rows(rows: bytes) -> int:
    """Return how many rows ``ROW,ROW`` holds."""
    return rows.count(_NEXT_ROW) + 1


def split_rows(rows: bytes, size: int) -> Iterator[bytes]:
    """Cut ``ROW,ROW`` between rows into parts of at most ``size`` bytes; a longer row is a part by itself."""
    start = 0
    while len(rows) - start > size:
        cut = rows.rfind(_NEXT_ROW, start, start + size + len(_NEXT_ROW))
        if cut < 0:
            cut = rows.find(_NEXT_ROW, start + size)
        if cut < 0:
            break
        yield rows[start:cut]
        start = cut + 1
    yield rows[start:]
