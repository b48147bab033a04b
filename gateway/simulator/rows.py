"""The simulator's REAL rows: every field code a string, in the order Kiwoom sends them. Pure."""

from __future__ import annotations

import json
from datetime import datetime
from importlib import resources
from typing import Any

from gateway.simulator.market import DEPTH, Stock, step

#: Composed example rows by type; fields the simulator does not model keep these values.
TEMPLATES: dict[str, dict[str, Any]] = json.loads(
    resources.files("gateway.simulator").joinpath("templates.json").read_text(encoding="utf-8")
)
#: Types whose numbers come from the modelled share.
STOCK_TYPES = frozenset({"0A", "0B", "0C", "0D", "0H", "0w"})
#: Field codes that hold the time of day.
_CLOCKS = ("20", "21")


def row(kind: str, item: str, stock: Stock | None, at: datetime) -> dict[str, Any] | None:
    """Return one row of ``kind`` for ``item`` at ``at`` (KST), or ``None`` for a type without rows."""
    template = TEMPLATES.get(kind)
    if template is None:
        return None
    values = dict(template["values"])
    clock = at.strftime("%H%M%S")
    values.update((fid, clock) for fid in _CLOCKS if fid in values)
    if stock is not None and kind in STOCK_TYPES:
        known = book(stock) if kind == "0D" else trade(stock)
        values.update((fid, known[fid]) for fid in values if fid in known)
        if "9081" in values and item.endswith("_NX"):
            values["9081"] = "NXT"
    name = template["name"]
    shown = item or template["item"]
    return {"values": values, "type": kind, "name": name, "item": "" if kind == "0s" else shown}


def trade(stock: Stock) -> dict[str, str]:
    """Return the trade fields (types 0A, 0B, 0C, 0H, 0w) of the last trade."""
    deal, previous = stock.trade, stock.previous
    change = stock.last - previous
    signed = deal.shares if deal.bought else -deal.shares
    ratio = stock.volume / stock.previous_volume * 100
    more = stock.volume - stock.previous_volume
    buy_share = stock.bought / (stock.bought + stock.sold) * 100
    margin = int(stock.last * 0.4)
    return {
        "10": price(stock.last, previous),
        "11": number(change),
        "12": f"{change / previous * 100:+.2f}" if change else " 0.00",
        "27": price(stock.ask, previous),
        "28": price(stock.bid, previous),
        "15": number(signed),
        "13": str(stock.volume),
        "14": str(stock.turnover // 1_000_000),
        "16": price(stock.open, previous),
        "17": price(stock.high, previous),
        "18": price(stock.low, previous),
        "25": symbol(stock.last, previous),
        "26": number(more),
        "29": number(more * stock.last),
        "30": f"{ratio if more >= 0 else -ratio:+.2f}",
        "31": f"{stock.volume / stock.listing.shares * 100:.2f}",
        "228": f"{stock.bought / max(1, stock.sold) * 100:.2f}",
        "311": str(stock.last * stock.listing.shares // 100_000_000),
        "290": "2",
        "1890": stock.opened_at,
        "1891": stock.high_at,
        "1892": stock.low_at,
        "1030": str(stock.sold),
        "1031": str(stock.bought),
        "1032": f"{buy_share if buy_share >= 50 else -buy_share:.2f}",
        "1071": str(stock.sells),
        "1072": str(stock.buys),
        "1313": number(int(deal.price * signed / 1000)),
        "1315": " 0" if deal.bought else number(signed),
        "1316": number(signed) if deal.bought else " 0",
        "1314": number(signed),
        "1497": str(margin),
        "1498": str(int(margin * 0.8)),
        "620": str(stock.turnover // max(1, stock.volume)),
    }


def book(stock: Stock) -> dict[str, str]:
    """Return the order-book fields (type 0D): ten levels each side around the last trade."""
    previous, chance = stock.previous, stock.random
    values: dict[str, str] = {}
    totals = {"ask": 0, "bid": 0}
    changes = {"ask": 0, "bid": 0}
    for side, best, way, first_price, first_size, first_change, venue in (
        ("ask", stock.ask, 1, 41, 61, 81, 6044),
        ("bid", stock.bid, -1, 51, 71, 91, 6054),
    ):
        at = best
        for level in range(DEPTH):
            size = chance.randrange(200, 4_000) * (level + 2)
            change = chance.choice((0, 0, 0, chance.randrange(-200, 200)))
            values[str(first_price + level)] = price(at, previous)
            values[str(first_size + level)] = str(size)
            values[str(first_change + level)] = f"{change:+d}" if change else "0"
            values[str(venue + level)] = str(size)
            totals[side] += size
            changes[side] += change
            at = step(at, way)
    asks, bids = totals["ask"], totals["bid"]
    values |= {
        "121": str(asks),
        "122": f"{changes['ask']:+d}",
        "125": str(bids),
        "126": f"{changes['bid']:+d}",
        "128": f"{bids - asks:+d}",
        "129": f"{bids / asks * 100:.2f}",
        "138": f"{asks - bids:+d}",
        "139": f"{asks / bids * 100:.2f}",
        "13": str(stock.volume),
        "6064": str(asks),
        "6065": str(bids),
        "6102": str((stock.ask + stock.bid) // 2),
    }
    return values


def price(value: int, previous: int) -> str:
    """Return a price with its direction slot against the previous close: ``+``, ``-`` or a blank."""
    sign = "+" if value > previous else "-" if value < previous else " "
    return f"{sign}{value}"


def number(value: int) -> str:
    """Return a signed number; zero has a blank in the sign's place."""
    return f"{value:+d}" if value else " 0"


def symbol(value: int, previous: int) -> str:
    """Return the change symbol: 2 up, 3 flat, 5 down."""
    return "2" if value > previous else "5" if value < previous else "3"
