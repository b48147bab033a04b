"""What frozen evidence says, read once into typed values; knows no database and guesses nothing.

``None`` means that nobody measured it. Bytes count in powers of 1024, as ``docker stats`` prints them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

#: Name of the gateway's process, under which the evidence of its sessions is captured.
GATEWAY = "gateway"
#: CPU in percent of its limit (or of a core) from which it counts as saturated.
CPU_HIGH = 90.0
#: Memory from which it counts as high: share of the limit, or bytes without one.
MEMORY_SHARE_HIGH = 0.9
MEMORY_HIGH = 2 * 1024**3
#: Log lines a second that count as a flood.
FLOOD = 100.0
#: Share of the log from which one template dominates it.
DOMINANT = 0.3

_RETRY = re.compile(
    r"re-?connect|retry|retri|time[d ]*-?\s?out|connection (?:refused|reset|failed|closed)|econnrefused"
    r"|재시도|재연결|연결 ?(?:실패|끊)|타임아웃",
    re.IGNORECASE,
)
_SUBJECTS = (
    ("websocket", re.compile(r"websocket|wss?://|웹소켓", re.IGNORECASE)),
    ("database", re.compile(r"database|postgres|mysql|sqlite|\bdb\b|데이터베이스", re.IGNORECASE)),
    ("redis", re.compile(r"redis|valkey", re.IGNORECASE)),
)
_URL = re.compile(r"\b(?:wss?|https?)://[^\s\"'<>)\]]+")


@dataclass(frozen=True, slots=True)
class Source:
    """One piece of evidence with its primary key."""

    kind: str
    subject: str
    data: Mapping[str, Any]
    evidence: int | None


@dataclass(frozen=True, slots=True)
class Template:
    """A masked log line, how often it came, its share of the log, and one real line."""

    text: str
    count: int
    share: float
    sample: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The incident and its evidence. ``service`` is the one it began with."""

    title: str
    slug: str
    service: str
    analysed_at: datetime
    signals: tuple[tuple[str, str], ...] = ()
    sources: tuple[Source, ...] = ()
    metrics: Mapping[str, Any] = field(init=False)
    inspect: Mapping[str, Any] = field(init=False)
    health: Mapping[str, Any] = field(init=False)
    logs: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        for kind in ("metrics", "inspect", "health", "logs"):
            source = self.source(kind)
            object.__setattr__(self, kind, source.data if source else {})

    def source(self, kind: str) -> Source | None:
        """Return the evidence of ``kind`` about the service, or about everything."""
        found = [source for source in self.sources if source.kind == kind]
        names = {self.service, GATEWAY} if self._is_slot else {self.service}
        own = [source for source in found if names & {source.data.get("service"), source.subject}]
        if own:
            return own[0]
        general = [source for source in found if not source.data.get("service")]
        return general[0] if general else None

    def evidence(self, kind: str) -> int | None:
        """Return the primary key of the evidence of ``kind``."""
        source = self.source(kind)
        return source.evidence if source else None

    def number(self, name: str) -> float | None:
        """Return a measured value of the service."""
        return number(self.metrics.get(name))

    @property
    def unit(self) -> str:
        """The container or process to act on: the service, or the gateway that runs it as a session."""
        return GATEWAY if self._is_slot else self.service

    @property
    def _is_slot(self) -> bool:
        return any(slot.get("slot") == self.service for slot in self.slots)

    @property
    def docker(self) -> bool:
        """Whether the service is a container."""
        return str(self.metrics.get("runtime", "docker")) == "docker"

    @property
    def cpu_high(self) -> bool:
        """Whether the CPU is saturated."""
        cpu = self.number("cpu_percent")
        return cpu is not None and cpu >= CPU_HIGH * (self.number("cpu_limit_cores") or 1.0)

    @property
    def memory_high(self) -> bool:
        """Whether memory is near its limit, or large without one."""
        used, limit = self.number("memory_bytes"), self.number("memory_limit_bytes")
        if used is None:
            return False
        threshold: float = limit * MEMORY_SHARE_HIGH if limit else MEMORY_HIGH
        return used >= threshold

    @property
    def series(self) -> list[Mapping[str, Any]]:
        """Readings of the frozen half hour, the oldest first."""
        return mappings(self.metrics.get("series"))

    @property
    def rate(self) -> float | None:
        """Log lines a second."""
        return self.number("log_lines_per_s")

    @property
    def rate_is_lower_bound(self) -> bool:
        """Whether more lines came than could be read."""
        return bool(self.metrics.get("log_rate_is_lower_bound"))

    @property
    def memory_limit_known(self) -> bool:
        """Whether somebody looked for a limit; None then means that there is none."""
        return "memory_limit_bytes" in self.metrics

    @property
    def lines(self) -> int | None:
        """Log lines that were counted."""
        value = number(self.logs.get("lines_total"))
        if value is None:
            value = self.number("log_lines_total")
        return None if value is None else int(value)

    @property
    def templates(self) -> list[Template]:
        """The log's templates, the most frequent first."""
        rows = mappings(self.logs.get("templates"))
        counts = [int(number(row.get("count")) or 0) for row in rows]
        total = max(sum(counts), self.lines or 0)
        found = [
            Template(
                str(row.get("template", "")),
                count,
                min(1.0, count / total if share is None and total else share or 0.0),
                str(row.get("sample") or row.get("template", "")),
            )
            for row, count in zip(rows, counts, strict=True)
            for share in [number(row.get("share"))]
        ]
        return sorted(found, key=lambda row: (-row.count, row.text))

    @property
    def retry(self) -> Template | None:
        """The retry message that dominates the log, if one does."""
        loud = [row for row in self.templates if row.share >= DOMINANT and _RETRY.search(row.text)]
        return loud[0] if loud else None

    @property
    def retry_subject(self) -> str:
        """What is retried: ``websocket``, ``database``, ``redis`` or ``connection``."""
        text = " ".join(f"{row.text} {row.sample}" for row in self.templates[:5])
        return next((name for name, pattern in _SUBJECTS if pattern.search(text)), "connection")

    @property
    def target(self) -> str | None:
        """The address that the log speaks of."""
        for row in self.templates[:5]:
            if match := _URL.search(row.sample) or _URL.search(row.text):
                return match[0].rstrip(".,:;")
        return None

    @property
    def streak(self) -> int | None:
        """Failed health checks in a row."""
        value = number(self.health.get("failing_streak"))
        value = self.number("failing_streak") if value is None else value
        return None if value is None else int(value)

    @property
    def interval(self) -> float | None:
        """Seconds between two health checks."""
        return number(self.health.get("interval_s")) or self.number("health_interval_s")

    @property
    def status(self) -> str | None:
        """The health check's verdict."""
        value = self.health.get("status") or self.metrics.get("health")
        return str(value) if value else None

    @property
    def crashed(self) -> bool:
        """Whether it restarts again and again, or ended by itself with an error."""
        code = self.number("exit_code")
        ended = self.metrics.get("state") == "exited" and code not in (None, 0, 130, 143)
        return ended or self.restarts >= 3

    @property
    def restarts(self) -> int:
        """Restarts within the frozen history: the runtime's own count is of the container's whole life.

        A count that falls is a new container's. Without a history nobody knows when it restarted.
        """
        given = [*(number(row.get("restart_count")) for row in self.series), self.number("restart_count")]
        counts = [int(count) for count in given if count is not None]
        return sum(new - old if new >= old else new for old, new in pairwise(counts))

    @property
    def endpoints(self) -> list[Mapping[str, Any]]:
        """The probe matrix."""
        source = next((one for one in self.sources if one.kind == "probes"), None)
        return mappings(source.data.get("endpoints")) if source else []

    @property
    def own_endpoints(self) -> list[Mapping[str, Any]]:
        """The endpoints of the service and those of nobody in particular, such as a public address."""
        own = ("", None, self.service, self.unit)
        return [one for one in self.endpoints if one.get("service") in own]

    @property
    def failed_probes(self) -> list[Mapping[str, Any]]:
        """Those that failed; another service's failure is no effect of this outage."""
        return [one for one in self.own_endpoints if one.get("ok") is False]

    @property
    def slots(self) -> list[Mapping[str, Any]]:
        """The gateway's sessions."""
        source = next((one for one in self.sources if one.kind == "gateway"), None)
        return mappings(source.data.get("slots")) if source else []

    @property
    def lost_slot(self) -> Mapping[str, Any] | None:
        """The gateway's session that is not live, if the incident is about the gateway."""
        down = [slot for slot in self.slots if slot.get("feed") not in ("live", "closed")]
        own = [slot for slot in down if self.service in (slot.get("slot"), GATEWAY)]
        return own[0] if own else None


def number(value: object) -> float | None:
    """Return ``value`` if it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def mappings(value: object) -> list[Mapping[str, Any]]:
    """Return the mappings in ``value`` if it is a list."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
