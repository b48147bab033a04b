"""A small named world: one container, swept every five seconds, with the rules that are shipped."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from incidents.models import Incident
from portal.monitoring import engine, services
from portal.monitoring.collector import Reading, Sweep
from portal.monitoring.models import Alert, Health, Rule, RunState, RuntimeKind
from portal.monitoring.runtimes.base import Found, HealthReading, Inspection

NOW = datetime(2026, 11, 23, 0, 15, tzinfo=UTC)
NAME = "api-gateway"
SUBJECT = f"docker:{NAME}"
FINGERPRINT = f"service:docker:{NAME}"
SWEEP_S = 5.0
MIB = 1024 * 1024


def inspected(**changes: Any) -> Inspection:
    """A running container that was healthy for an hour, but for ``changes``."""
    given: dict[str, Any] = {"state": RunState.RUNNING, "started_at": NOW - timedelta(hours=1)}
    return Inspection(**(given | changes))


def failing(streak: int, status: Health = Health.UNHEALTHY) -> Inspection:
    """A running container whose check, run every two seconds, failed ``streak`` times in a row."""
    verdict = status if streak else Health.HEALTHY
    return inspected(health=HealthReading(status=verdict, failing_streak=streak, interval_s=2.0))


def ended(code: int, *, on_purpose: bool, at: datetime = NOW) -> Inspection:
    """An ended container."""
    return inspected(state=RunState.EXITED, exit_code=code, stopped_on_purpose=on_purpose, finished_at=at)


class Stage:
    """The clock and what every sweep of the one container shows."""

    def __init__(self, name: str = NAME, labels: dict[str, str] | None = None) -> None:
        self.name = name
        self.labels = labels or {}
        self.at = NOW

    def reading(self, inspection: Inspection | None = None, **changes: Any) -> Reading:
        """A quiet reading at the stage's clock, but for ``changes``."""
        inspection = inspection or (None if changes.get("error") else inspected())
        state = inspection.state if inspection else RunState.RUNNING
        alive = state is RunState.RUNNING and not changes.get("error")
        quiet: dict[str, Any] = (
            {"cpu_percent": 1.0, "memory_bytes": 50 * MIB, "log_rate": 0.1} if alive else {}
        )
        found = Found(runtime_id=f"id-{self.name}", name=self.name, state=state, labels=self.labels)
        return Reading(found=found, at=self.at, inspection=inspection, **(quiet | changes))

    def sweep(self, inspection: Inspection | None = None, **changes: Any) -> list[Alert]:
        """Store one reading, evaluate the rules, move the clock; returns the alerts that changed."""
        return self.swept([self.reading(inspection, **changes)])

    def swept(self, readings: Sequence[Reading], error: str = "") -> list[Alert]:
        """Do the same with any number of readings, or with a runtime that does not answer."""
        sweep = Sweep(runtime=RuntimeKind.DOCKER, at=self.at, readings=tuple(readings), error=error)
        changed = engine.evaluate(services.record(sweep))
        self.at += timedelta(seconds=SWEEP_S)
        return changed


def firing() -> set[str]:
    """Names of the rules that have an open alert."""
    return set(Alert.objects.filter(closed_at=None).values_list("rule__name", flat=True))


def only(name: str) -> Rule:
    """Switch every other rule off."""
    Rule.objects.exclude(name=name).update(enabled=False)
    return Rule.objects.get(name=name)


def incident() -> Incident:
    """The only incident."""
    return Incident.objects.get()
