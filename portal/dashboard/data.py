"""What the portal shows, as frozen dataclasses. Knows no database, no Redis and no language."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from gateway.status import Attempt, FeedStatus, GatewayStatus

#: A reading older than three sweeps (and some slack) is unknown, never "fine".
STALE_AFTER_S = 20.0


class Level(StrEnum):
    """How a thing is, worst first. Shown as a word and an icon, never as a colour alone."""

    CRITICAL = "critical"
    WARNING = "warning"
    UNKNOWN = "unknown"
    OK = "ok"
    OFF = "off"


#: Checklist states; a claim is not evidence, so it is not green.
ITEM_LEVELS = {
    "verified": Level.OK,
    "failing": Level.CRITICAL,
    "stale": Level.WARNING,
    "waived": Level.OFF,
}
RANK = {level: rank for rank, level in enumerate(Level)}


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRow:
    """One open alert."""

    text: str
    severity: str
    opened_at: datetime
    service_id: int | None
    incident: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRow:
    """Latest reading of a service. ``None`` is no data; ``age_s`` counts from the page's time."""

    id: int
    name: str
    runtime: str
    at: datetime | None
    age_s: float | None
    state: str
    exit_code: int | None
    started_at: datetime | None
    health: str
    failing_streak: int
    health_interval_s: float | None
    cpu_percent: float | None
    cpu_limit_cores: float | None
    memory_bytes: int | None
    memory_limit_bytes: int | None
    restart_count: int
    log_lines_per_s: float | None
    log_rate_is_lower_bound: bool
    top_template: str
    top_template_share: float | None
    error: str
    alerts: tuple[AlertRow, ...] = ()
    failing_endpoints: tuple[str, ...] = ()
    incident: int | None = None

    @property
    def stale(self) -> bool:
        """Whether the reading is too old to be believed."""
        return self.age_s is None or self.age_s > STALE_AFTER_S

    @property
    def cpu_of_limit(self) -> float | None:
        """CPU in percent of the limit, when there is a limit."""
        if self.cpu_percent is None or not self.cpu_limit_cores:
            return None
        return self.cpu_percent / self.cpu_limit_cores

    @property
    def memory_of_limit(self) -> float | None:
        """Memory in percent of the limit, when there is a limit."""
        if self.memory_bytes is None or not self.memory_limit_bytes:
            return None
        return 100.0 * self.memory_bytes / self.memory_limit_bytes

    @property
    def unhealthy_s(self) -> float | None:
        """Seconds that the failing streak stands for."""
        if self.health != "unhealthy" or not self.health_interval_s:
            return None
        return self.failing_streak * self.health_interval_s

    @property
    def level(self) -> Level:
        """Return how the service is."""
        if self.state == "gone" or (self.state == "exited" and not self.alerts and self.incident is None):
            return Level.OFF
        if self.stale or self.state == "unknown":
            return Level.UNKNOWN
        severities = {alert.severity for alert in self.alerts}
        if self.health == "unhealthy" or self.state == "exited" or "critical" in severities:
            return Level.CRITICAL
        if severities or self.state in ("restarting", "paused") or self.failing_endpoints:
            return Level.WARNING
        return Level.OK


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentRow:
    """One line of an incident list."""

    number: int
    title: str
    severity: str
    severity_label: str
    state: str
    state_label: str
    services: tuple[str, ...]
    opened_at: datetime
    resolved_at: datetime | None
    impact_started_at: datetime | None
    lead: str
    is_open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemRow:
    """One checklist item with the incident it comes from; a standing one has none."""

    id: int
    incident: int | None
    incident_title: str
    text: str
    priority: str
    state: str
    state_label: str
    verifier: str
    target: str
    observed: str
    checked_at: datetime | None
    added_at: datetime
    owner: str
    due: date | None
    overdue: bool

    @property
    def level(self) -> Level:
        """Return the level that the item's state is shown with."""
        return ITEM_LEVELS.get(self.state, Level.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayPanel:
    """Both sides of the gateway. ``reachable`` is false when Redis does not answer."""

    reachable: bool
    slots: tuple[str, ...] = ()
    statuses: tuple[GatewayStatus, ...] = ()
    feeds: tuple[FeedStatus, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    beat_age_s: float | None = None
    worker_age_s: float | None = None

    @property
    def connections(self) -> int:
        """End users connected to every web process."""
        return sum(feed.connections for feed in self.feeds)

    @property
    def level(self) -> Level:
        """Return how the feed is."""
        if not self.reachable or not self.statuses:
            return Level.UNKNOWN
        words = {str(status.feed) for status in self.statuses}
        if "parked" in words:
            return Level.CRITICAL
        return Level.WARNING if words & {"reconnecting", "stale"} else Level.OK


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """Everything that the front page shows at ``now``."""

    now: datetime
    services: tuple[ServiceRow, ...]
    gateway: GatewayPanel
    incidents: tuple[IncidentRow, ...]
    recent: tuple[IncidentRow, ...]
    checklist: dict[str, int] = field(default_factory=dict)

    @property
    def collector_at(self) -> datetime | None:
        """Time of the newest reading."""
        return max((row.at for row in self.services if row.at), default=None)

    def count(self, level: Level) -> int:
        """Return the number of services at ``level``."""
        return sum(row.level is level for row in self.services)

    @property
    def level(self) -> Level:
        """Return the worst of everything; an open incident is critical whatever the services say."""
        if any(row.severity == "critical" for row in self.incidents):
            return Level.CRITICAL
        levels: list[Level] = [row.level for row in self.services if row.level is not Level.OFF]
        levels.append(self.gateway.level)
        if self.incidents:
            levels.append(Level.WARNING)
        if not self.services:
            levels.append(Level.UNKNOWN)
        return min(levels, key=RANK.__getitem__)
