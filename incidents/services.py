"""The only door through which an incident changes: keyword-only calls, conditional UPDATEs, one timeline.

``signal`` and ``clear`` are what monitoring calls; they are safe when two workers call them at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from incidents.models import Incident, Severity


@dataclass(frozen=True, slots=True)
class Signalled:
    """Where a signal went: the incident, and whether it was opened or reopened by it."""

    incident: Incident
    opened: bool
    reopened: bool = False


def signal(
    *,
    fingerprint: str,
    key: str,
    title: str,
    service: str,
    severity: Severity,
    detail: Mapping[str, Any],
    at: datetime,
    impact_started_at: datetime | None = None,
    resolve_after_s: float | None = None,
) -> Signalled:
    """Open the incident of ``fingerprint``, or attach this signal to the one that is open."""
    raise NotImplementedError


def clear(*, fingerprint: str, key: str, at: datetime) -> Incident | None:
    """Mark a signal cleared; the incident turns green when it was the last one."""
    raise NotImplementedError


def resolve_green(*, now: datetime) -> list[Incident]:
    """Resolve every open incident that has been green for its window."""
    raise NotImplementedError
