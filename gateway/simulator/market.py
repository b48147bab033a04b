"""Invented prices on the exchange's rules: tick ladder, price limits, a random walk for each share. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime

from gateway.simulator.catalog import Listing, listing

#: (price below which, tick in KRW) of the ladder in force since 2023-01-25.
LADDER = ((2_000, 1), (5_000, 5), (20_000, 10), (50_000, 50), (200_000, 100), (500_000, 500))
TOP_TICK = 1_000
#: Daily price limit as a share of the previous close.
LIMIT = 0.30
DEPTH = 10


def tick_size(price: int) -> int:
    """Return the tick in KRW at ``price``."""
    return next((tick for below, tick in LADDER if price < below), TOP_TICK)


def step(price: int, ticks: int) -> int:
    """Return ``price`` moved by ``ticks`` steps of the ladder, never below one tick."""
    for _ in range(abs(ticks)):
        if ticks > 0:
            price += tick_size(price)
        else:
            price -= tick_size(max(1, price - 1))
    return max(1, price)


def on_ladder(price: int) -> int:
    """Return ``price`` rounded down to the ladder."""
    tick = tick_size(price)
    return max(tick, price // tick * tick)


@dataclass(frozen=True, slots=True)
class Trade:
    """One trade: price in KRW, shares, and whether the buyer initiated it."""

    price: int
    shares: int
    bought: bool


@dataclass(slots=True)
class Stock:
    """The trading day of one share. ``turnover`` is in KRW, volumes are in shares."""

    listing: Listing
    previous: int
    last: int
    open: int
    high: int
    low: int
    opened_at: str
    high_at: str
    low_at: str
    previous_volume: int
    volume: int
    turnover: int
    bought: int
    sold: int
    buys: int
    sells: int
    trade: Trade
    random: random.Random = field(repr=False)

    @classmethod
    def start(cls, item: str, at: datetime) -> Stock:
        """Return a share in the middle of a day, the same for the same item."""
        listed = listing(item)
        chance = random.Random(f"stock:{item}")  # noqa: S311 - invented prices, not a secret
        previous = on_ladder(listed.close)
        opened = step(previous, chance.randint(-6, 6))
        last = step(opened, chance.randint(-8, 8))
        volume = int(listed.pace * chance.uniform(15_000, 40_000)) + 1_000
        bought = int(volume * chance.uniform(0.42, 0.58))
        clock = at.strftime("%H%M%S")
        return cls(
            listing=listed,
            previous=previous,
            last=last,
            open=opened,
            high=max(opened, last, previous),
            low=min(opened, last, previous),
            opened_at="090012",
            high_at=clock,
            low_at=clock,
            previous_volume=int(volume * chance.uniform(0.8, 2.2)) + 1,
            volume=volume,
            turnover=volume * last,
            bought=bought,
            sold=volume - bought,
            buys=bought // 200 + 1,
            sells=(volume - bought) // 200 + 1,
            trade=Trade(last, 1, bought=True),
            random=chance,
        )

    @property
    def ask(self) -> int:
        """Best ask: a buyer's last trade took it, a seller's left it one tick above."""
        return self.last if self.trade.bought else step(self.last, 1)

    @property
    def bid(self) -> int:
        """Best bid, one tick below the best ask."""
        return step(self.ask, -1)

    def trades_in(self, seconds: float) -> int:
        """Return how many trades happen in ``seconds`` (a Poisson draw, at most 20)."""
        mean, count, at = self.listing.pace, 0, 0.0
        while count < 20:
            at += self.random.expovariate(mean)
            if at > seconds:
                return count
            count += 1
        return count

    def advance(self, at: datetime) -> None:
        """Make one trade at ``at`` (KST)."""
        drift = self.random.choices((-2, -1, 0, 1, 2), (1, 12, 74, 12, 1))[0]
        ceiling, floor = int(self.previous * (1 + LIMIT)), int(self.previous * (1 - LIMIT))
        price = step(self.last, drift)
        if not floor <= price <= ceiling:
            price = self.last
        moved = price - self.last
        bought = moved > 0 or (moved == 0 and self.random.random() < 0.5)
        shares = max(1, int(self.random.paretovariate(1.1) * 4))
        shares = min(shares, 50_000)
        self.trade = Trade(price, shares, bought)
        self.last = price
        self.volume += shares
        self.turnover += shares * price
        if bought:
            self.bought, self.buys = self.bought + shares, self.buys + 1
        else:
            self.sold, self.sells = self.sold + shares, self.sells + 1
        clock = at.strftime("%H%M%S")
        if price > self.high:
            self.high, self.high_at = price, clock
        if price < self.low:
            self.low, self.low_at = price, clock
