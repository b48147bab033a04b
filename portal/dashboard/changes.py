"""What changed between the last two configurations of a service, for its page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from portal.monitoring.models import Service
from portal.monitoring.snapshots import Change, differences


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """The newest configuration against the one before; ``previous_at`` is ``None`` without one."""

    at: datetime
    starts: int
    previous_at: datetime | None = None
    rows: Sequence[Change] = ()


def of_service(service: Service) -> Changes | None:
    """Return the latest change of a service, ``None`` without any snapshot: one query."""
    newest_two = list(service.snapshots.order_by("-last_at", "-pk")[:2])
    if not newest_two:
        return None
    newest = newest_two[0]
    if len(newest_two) == 1:
        return Changes(at=newest.last_at, starts=newest.starts)
    older = newest_two[1]
    return Changes(
        at=newest.last_at,
        starts=newest.starts,
        previous_at=older.last_at,
        rows=differences(older.config, newest.config),
    )
