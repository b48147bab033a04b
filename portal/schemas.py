"""Shapes of ``/api/v1/`` and of ``manage.py status --json``."""

from __future__ import annotations

from datetime import datetime

from ninja import Schema


class GatewayOut(Schema):
    """One upstream connection. ``connections`` counts end users of the whole portal."""

    key: str
    state: str
    attempts: int
    next_retry_s: float | None
    connections: int


class ServiceOut(Schema):
    """One watched service."""

    name: str
    runtime: str
    state: str
    health: str
    failing_streak: int
    cpu_percent: float | None
    memory_bytes: int | None
    log_lines_per_s: float | None
    age_s: float | None


class IncidentOut(Schema):
    """One incident."""

    number: int
    title: str
    severity: str
    state: str
    services: list[str]
    opened_at: datetime
    resolved_at: datetime | None


class ItemOut(Schema):
    """One preventive measure; a standing one belongs to no incident."""

    incident: int | None
    item: str
    state: str
    verifier: str
    observed: str
