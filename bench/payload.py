"""The rows that every system carries: a 0B row as the gateway encodes it, cut to 550 bytes. Pure."""

from __future__ import annotations

from gateway.protocol import encode_row
from gateway.simulator.rows import TEMPLATES

#: Length of every row in bytes.
ROW_BYTES = 550
SYMBOLS = (
    "005930", "000660", "373220", "207940", "005380", "000270", "068270", "105560", "035420", "055550",
    "012330", "028260", "035720", "086790", "051910", "006400", "032830", "003670", "033780", "066570",
)  # fmt: skip
#: Fields that Kiwoom sends on some rows only.
_OPTIONAL = ("1313", "1315", "1316", "1314", "1497", "1498", "620", "732", "852", "567", "691")
#: The generator writes a row's number and its time of publishing (microseconds) over these.
_STAMPS = {"13": "0" * 12, "14": "0" * 16}


def topic(symbol: str) -> str:
    """Return the topic of a symbol's trades."""
    return f"0B:{symbol}"


def row(symbol: str) -> bytes:
    """Return one row of ``ROW_BYTES`` bytes, ASCII only, with zeros where the generator stamps it."""
    template = TEMPLATES["0B"]
    values = {fid: value for fid, value in template["values"].items() if fid not in _OPTIONAL} | _STAMPS
    short = ROW_BYTES - len(encode_row(values, "0B", template["name"], symbol))
    values["29"] += "0" * short
    encoded = encode_row(values, "0B", template["name"], symbol)
    if len(encoded) != ROW_BYTES:
        raise AssertionError(f"a row of {len(encoded)} bytes: the template has outgrown {ROW_BYTES}")
    return encoded


def rows(count: int) -> dict[str, bytes]:
    """Return a row for each of the first ``count`` symbols, by topic."""
    return {topic(symbol): row(symbol) for symbol in SYMBOLS[:count]}
