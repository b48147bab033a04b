"""What the portal saw, read from its own database."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from examples.outage.stage import SERVICE
from incidents.models import Incident, Notification, NotificationKind
from portal.monitoring.models import ServiceState


@dataclass(frozen=True, slots=True)
class Sight:
    """One second's look; ``None`` and empty texts mean that the portal has no data yet."""

    state: str = ""
    health: str = ""
    cpu_percent: float | None = None
    memory_mib: float | None = None
    streak: int = 0
    lines_per_s: float | None = None
    template: str = ""
    incident: int | None = None
    incident_state: str = ""
    error: str = ""

    def line(self, second: int) -> str:
        """Return the sight as one line of the demonstration's table."""
        cpu = "-" if self.cpu_percent is None else f"{self.cpu_percent:.1f} %"
        memory = "-" if self.memory_mib is None else f"{self.memory_mib:.0f} MiB"
        rate = "-" if self.lines_per_s is None else f"{self.lines_per_s:.0f}/s"
        incident = "-" if self.incident is None else f"INC-{self.incident} {self.incident_state}"
        state = f"{self.state or '-'}/{self.health or '-'}"
        numbers = f"{cpu:>8} {memory:>9} {self.streak:>6} {rate:>7}"
        return f"{second:>4} s  {state:<18} {numbers}  {incident:<20} {self.template[:44] or self.error[:44]}"


HEADER = (
    f"{'':>4}    {'state/health':<18} {'CPU':>8} {'memory':>9} {'streak':>6} {'log':>7}  "
    f"{'incident':<20} top log template"
)


@dataclass(slots=True)
class Watch:
    """Follows one service and the incident of its cause since ``since``."""

    runtime: str
    since: datetime
    numbers: set[int] = field(default_factory=set)
    #: Highest CPU that was seen, in percent of one core.
    peak: float = 0.0

    @property
    def fingerprint(self) -> str:
        """The fingerprint under which every rule on this service meets."""
        return f"service:{self.runtime}:{SERVICE}"

    def incidents(self) -> list[Incident]:
        """Return the incidents that name the service and that opened or reopened since the start."""
        recent = [one for one in Incident.objects.order_by("number") if one.burning_since >= self.since]
        found = [one for one in recent if one.fingerprint == self.fingerprint or SERVICE in one.services]
        self.numbers |= {one.number for one in found}
        return found

    def look(self) -> Sight:
        """Return what the portal knows now. Three queries."""
        incidents = self.incidents()
        incident = incidents[0] if incidents else None
        shown = (incident.number, incident.get_state_display()) if incident else (None, "")
        state = ServiceState.objects.filter(
            service__runtime=self.runtime, service__name=SERVICE, at__gte=self.since
        ).first()
        if state is None:
            return Sight(incident=shown[0], incident_state=shown[1])
        self.peak = max(self.peak, state.cpu_percent or 0.0)
        return Sight(
            state=state.state,
            health=state.health,
            cpu_percent=state.cpu_percent,
            memory_mib=None if state.memory_bytes is None else state.memory_bytes / 2**20,
            streak=state.failing_streak,
            lines_per_s=state.log_lines_per_s,
            template=state.top_template,
            incident=shown[0],
            incident_state=shown[1],
            error=state.error,
        )

    def messages(self, kind: NotificationKind) -> list[Notification]:
        """Return the messages of ``kind`` written since the start about these incidents."""
        return list(
            Notification.objects.filter(
                incident__number__in=self.numbers, kind=kind, created_at__gte=self.since
            )
        )
