"""Log templates of a service over the last ten minutes: counted by minute, at most 20 kept."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from portal.monitoring.collector import Reading
from portal.monitoring.logs import MAX_TEMPLATE, LogSummary, clean, mask_secrets
from portal.monitoring.models import LogTemplate, Service, ServiceState
from portal.monitoring.rising import Judged, judge

WINDOW_MINUTES = 10
MAX_TEMPLATES = 20


def safe_text(text: str) -> str:
    """Return text of several lines ready for storage."""
    return mask_secrets(clean(text))


def count(service: Service, state: ServiceState, reading: Reading) -> None:
    """Add the lines of ``reading`` to the templates and to ``state`` (which the caller saves).

    Called in the caller's transaction; it queries only when there are new lines.
    """
    logs = reading.logs
    if logs is None:
        return
    minute = int(reading.at.timestamp() // 60)
    state.log_lines_per_s = reading.log_rate
    state.log_rate_is_lower_bound = reading.log_rate_is_lower_bound
    state.log_lines_total += logs.lines
    state.log_window = _rolled(state.log_window, minute, logs.lines)
    if not any(state.log_window.values()):
        if state.top_template:
            LogTemplate.objects.filter(service=service).delete()
        state.top_template, state.top_template_count = "", 0
        state.rising_template, state.rising_factor = "", 0.0
    elif logs.lines or state.rising_template:
        kept = _merge(service, logs, minute, reading.at, watched_since=_watched_since(service, state))
        top = max(kept, key=lambda row: row.count, default=None)
        state.top_template, state.top_template_count = (top.template, top.count) if top else ("", 0)
        steepest = max(kept, key=lambda row: row.rise, default=None)
        rises = steepest is not None and steepest.rise > 0
        state.rising_template = steepest.template if rises and steepest else ""
        state.rising_factor = round(steepest.rise, 2) if steepest else 0.0
    total = sum(state.log_window.values())
    share = round(min(1.0, state.top_template_count / total), 4) if total and state.top_template else None
    state.top_template_share = share


def _watched_since(service: Service, state: ServiceState) -> int:
    """Return the unix minute since which its lines are counted; a start's messages are no baseline."""
    started = state.started_at or service.discovered_at
    return int(max(service.discovered_at, started).timestamp() // 60)


def _merge(
    service: Service, logs: LogSummary, minute: int, at: datetime, *, watched_since: int
) -> list[LogTemplate]:
    rows = {row.fingerprint: row for row in LogTemplate.objects.filter(service=service)}
    for found in logs.templates:
        row = rows.get(found.fingerprint)
        if row is None:
            row = rows[found.fingerprint] = LogTemplate(
                service=service, fingerprint=found.fingerprint, template=found.template, first_seen=at
            )
        row.sample, row.last_seen = found.sample[:MAX_TEMPLATE], at
        row.minutes = _rolled(row.minutes, minute, found.count)
    for row in rows.values():
        row.minutes = _rolled(row.minutes, minute, 0)
        row.count = sum(row.minutes.values())
        _judge(row, minute, at, watched_since)
    ranked = sorted(rows.values(), key=lambda row: row.count, reverse=True)
    kept = [row for row in ranked[:MAX_TEMPLATES] if row.count]
    dropped = [row.pk for row in rows.values() if row.pk and row not in kept]
    LogTemplate.objects.bulk_create(
        kept,
        update_conflicts=True,
        unique_fields=["service", "fingerprint"],
        update_fields=["sample", "count", "minutes", "baseline", "rising_since", "last_seen"],
    )
    LogTemplate.objects.filter(pk__in=dropped).delete()
    return kept


def _judge(row: LogTemplate, minute: int, at: datetime, watched_since: int) -> None:
    since = int(row.rising_since.timestamp() // 60) if row.rising_since else None
    judged = judge(
        row.minutes,
        minute,
        watched_since=watched_since,
        before=Judged(baseline=row.baseline, since=since),
        window=WINDOW_MINUTES,
    )
    row.baseline, row.rise = judged.baseline, judged.factor
    if not judged.rising:
        row.rising_since = None
    elif judged.since != since:
        row.rising_since = at


def _rolled(minutes: Any, minute: int, more: int) -> dict[str, int]:
    """Add ``more`` to ``minute`` and drop what left the window; anything unreadable starts afresh."""
    kept = {}
    if isinstance(minutes, dict):
        kept = {key: int(n) for key, n in minutes.items() if minute - int(key) < WINDOW_MINUTES}
    if more:
        kept[str(minute)] = kept.get(str(minute), 0) + more
    return kept
