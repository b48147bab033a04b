"""One of several workers that evaluate the same samples at once; its last line names the rules it opened.

Run as ``python -m tests.monitoring.racer`` with the settings of a migrated database that knows the
service ``api-gateway``.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import django

from tests.together import await_the_others

#: Bad CPU samples after the one that the database knows: one too few to open, if each counts once.
CPU_SAMPLES = 4
EVENTS = 20
NOW = datetime(2026, 11, 23, tzinfo=UTC)


def window() -> Any:
    """The crashes that every worker has read."""
    base = import_module("portal.monitoring.runtimes.base")
    crashes = [
        base.RuntimeEvent(key=f"{n}", at=NOW, runtime_id="id", name="api-gateway", action="die", exit_code=n)
        for n in range(EVENTS)
    ]
    return base.EventWindow(events=crashes, until=NOW)


def main() -> list[str]:
    """Wait for the word to go, evaluate; returns the rules whose alerts this worker opened."""
    engine = import_module("portal.monitoring.engine")
    models = import_module("portal.monitoring.models")
    sample = import_module("portal.monitoring.samples").Sample
    service = models.Service.objects.get(name="api-gateway")
    subject = f"{service.runtime}:{service.name}"
    cpu = [("cpu", 100.0, second) for second in range(CPU_SAMPLES)]
    others = [("failing_streak", 5.0, 0), ("restarts", 9.0, 0), ("silent", 60.0, 0)]
    samples = [
        sample(
            kind=models.RuleKind(kind),
            subject=subject,
            name=service.name,
            fingerprint=f"service:{subject}",
            at=NOW + timedelta(seconds=second),
            value=value,
            service=service,
        )
        for kind, value, second in [*cpu, *others]
    ]
    await_the_others()
    import_module("portal.monitoring.events").save(service.runtime, window(), {service.name: service})
    return [alert.rule.name for alert in engine.evaluate(samples)]


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    django.setup()
    opened = main()
    sys.stdout.write(json.dumps(opened) + "\n")
