"""Limits of ``/ws``: rates, connection counts, and whose address a connection has. Pure."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from gateway.config import FeedConfig
from gateway.feed_frames import Close, Verdict

#: Seconds that a client over a count waits before it tries again.
RETRY_AFTER = 5.0
#: Seconds that a client waits which came with too many others: the first of them, and the last.
TURN_FIRST, TURN_LAST = 1.0, 60.0


@dataclass(slots=True)
class Bucket:
    """A token bucket: ``rate`` a second, ``burst`` at once. Times are monotonic seconds."""

    rate: float
    burst: float
    level: float = field(init=False)
    at: float | None = None

    def __post_init__(self) -> None:
        self.level = self.burst

    def take(self, now: float) -> bool:
        """Take one if there is one."""
        if self.at is not None:
            self.level = min(self.burst, self.level + (now - self.at) * self.rate)
        self.at = now
        if self.level < 1:
            return False
        self.level -= 1
        return True


class LimitExceeded(Exception):
    """A connection over a limit; ``verdict`` says how to close it."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.message)
        self.verdict = verdict


class ConnectionLimits:
    """Counts of one process's connections: all, by address, by subject, and new ones per second."""

    def __init__(self, config: FeedConfig) -> None:
        self._config = config
        self._total = 0
        self._addresses: Counter[str] = Counter()
        self._subjects: Counter[str] = Counter()
        self._connects = Bucket(config.connect_rate, max(1.0, config.connect_rate))
        self._turn = 0.0

    @contextmanager
    def connection(self, address: str, now: float) -> Iterator[None]:
        """Hold a place for a connection from ``address``.

        Raises:
            LimitExceeded: the process or the address is full, or too many come at once.
        """
        if not self._connects.take(now):
            raise LimitExceeded(
                Verdict(Close.TRY_LATER, "too many connect at once", self._next_turn(now) - now)
            )
        if self._total >= self._config.max_connections:
            raise LimitExceeded(Verdict(Close.TRY_LATER, "the server is full", 6 * RETRY_AFTER))
        if self._addresses[address] >= self._config.max_connections_per_address:
            message = f"over {self._config.max_connections_per_address} connections of this address"
            raise LimitExceeded(Verdict(Close.OVER_LIMIT, message, 6 * RETRY_AFTER))
        self._total += 1
        self._addresses[address] += 1
        try:
            yield
        finally:
            self._total -= 1
            _give_back(self._addresses, address)

    def _next_turn(self, now: float) -> float:
        """Return when the next client that is sent away may come back: as many a second as are taken in.

        Told the same time, they would all come at once again, and but for a few be sent away again.
        """
        self._turn = max(self._turn, now + TURN_FIRST) + 1 / self._config.connect_rate
        if self._turn > now + TURN_LAST:
            self._turn = now + TURN_FIRST
        return self._turn

    @contextmanager
    def subject(self, subject: str, limit: int) -> Iterator[None]:
        """Hold one of ``subject``'s places (``key:3``, ``user:7``).

        Raises:
            LimitExceeded: it has none left.
        """
        if self._subjects[subject] >= limit:
            message = f"over {limit} connections of this key"
            raise LimitExceeded(Verdict(Close.OVER_LIMIT, message, 6 * RETRY_AFTER))
        self._subjects[subject] += 1
        try:
            yield
        finally:
            _give_back(self._subjects, subject)


def client_address(peer: str, forwarded_for: str, trusted: Sequence[str]) -> str:
    """Return the address to count: the last hop of X-Forwarded-For that is no trusted proxy, or the peer.

    An IPv6 client owns at least a /64, so that is what is counted.
    """
    networks = [ipaddress.ip_network(proxy, strict=False) for proxy in trusted]
    hops = [hop.strip() for hop in forwarded_for.split(",") if hop.strip()] if networks else []
    address = _parse(peer)
    while hops and address is not None and any(address in network for network in networks):
        hop = _parse(hops.pop())
        if hop is None:
            break
        address = hop
    if address is None:
        return peer
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def _parse(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def _give_back(counter: Counter[str], name: str) -> None:
    counter[name] -= 1
    if counter[name] <= 0:
        del counter[name]
