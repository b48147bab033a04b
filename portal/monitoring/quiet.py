"""Whether a service or rule is to be left alone now: silences and maintenance windows."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

from portal.monitoring.models import Held, MaintenanceWindow, Silence
from portal.monitoring.models.quiet import WEEKDAYS

KST = ZoneInfo("Asia/Seoul")
#: Rows looked at; more silences at once than this is a rule to change.
MAX_ROWS = 500


@dataclass(frozen=True, slots=True)
class Quiet:
    """One reason to open nothing, in force now."""

    held: Held
    services: str
    rules: str
    reason: str

    def covers(self, service: str, rule: str) -> bool:
        """Whether it matches these two names."""
        return fnmatchcase(service, self.services) and fnmatchcase(rule, self.rules)


def literal(name: str) -> str:
    """Return the shell pattern that matches ``name`` and nothing else."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)[:200]


def recurs_at(*, weekdays: Collection[str], start: time, duration: timedelta, at: datetime) -> bool:
    """Whether a weekly window, given in KST and at most a day long, covers the aware time ``at``."""
    local = at.astimezone(KST)
    for days_ago in (0, 1):
        day = local.date() - timedelta(days=days_ago)
        begins = datetime.combine(day, start, KST)
        if WEEKDAYS[day.weekday()][0] in weekdays and begins <= local < begins + duration:
            return True
    return False


def in_force(at: datetime) -> list[Quiet]:
    """Return everything that holds alerts back at ``at``: two queries."""
    found = [
        Quiet(Held.SILENCE, row.service_pattern, row.rule_pattern, row.reason)
        for row in Silence.objects.filter(starts_at__lte=at, until__gt=at)[:MAX_ROWS]
    ]
    for window in MaintenanceWindow.objects.filter(enabled=True)[:MAX_ROWS]:
        length = timedelta(minutes=window.duration_min)
        if recurs_at(weekdays=window.weekdays, start=window.start, duration=length, at=at):
            reason = f"{window.name}: {window.reason}"[:300]
            found.append(Quiet(Held.MAINTENANCE, window.service_pattern, "*", reason))
    return found


def holding(quiets: Collection[Quiet], service: str, rule: str) -> Quiet | None:
    """Return what holds this pair back, ``None`` when it may open."""
    return next((quiet for quiet in quiets if quiet.covers(service, rule)), None)
