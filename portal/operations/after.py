"""The second part of the evidence: what was measured in the 30 minutes after an incident began."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from incidents.models import EvidenceKind
from incidents.registry import Captured
from portal.monitoring.models import Observation
from portal.operations.evidence import MAX_SERIES, watched

#: Parts of one incident's second half, by what they are about.
COLUMNS = ("cpu_percent", "memory_bytes", "failing_streak", "restart_count", "log_lines_per_s")


def measurements(names: list[str], start: datetime, end: datetime) -> Iterator[Captured]:
    """Yield the stored readings of each service from ``start`` to ``end``, at most ``MAX_SERIES`` of each."""
    for service in watched(names):
        rows = Observation.objects.filter(service=service, at__gt=start, at__lte=end).order_by("at")
        found = list(rows[: MAX_SERIES + 1])
        cut = len(found) > MAX_SERIES
        series = [
            {"at": row.at.isoformat(), **{name: getattr(row, name) for name in COLUMNS}}
            for row in found[:MAX_SERIES]
        ]
        yield Captured(
            kind=EvidenceKind.AFTER,
            subject=service.name,
            data={
                "service": service.name,
                "from": start.isoformat(),
                "until": end.isoformat(),
                "series": series,
            },
            partial=cut or not series,
            note="" if series else "no reading in these minutes",
        )
