"""One of several processes that signal the same cause at the same moment; prints what it was told.

Run as ``python -m tests.races COUNT`` with the settings of a migrated database in the environment.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from importlib import import_module

import django

from tests.together import await_the_others


def main(count: int) -> list[bool]:
    """Wait for the word to go and signal ``count`` alerts; returns for each whether it opened."""
    services, models = import_module("incidents.services"), import_module("incidents.models")
    await_the_others()
    return [
        services.signal(
            fingerprint="service:docker:api-gateway",
            key=f"rule {number}|api-gateway",
            title="api-gateway is unhealthy",
            service="api-gateway",
            severity=models.Severity.CRITICAL,
            detail={},
            at=datetime.now(UTC),
        ).opened
        for number in range(count)
    ]


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    django.setup()
    sys.stdout.write(json.dumps(main(int(sys.argv[1]))))
