"""``manage.py status [--json]``."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from portal.overview import everything


class Command(BaseCommand):
    """Prints what the dashboard knows."""

    help = "Print the state of the gateway, services, incidents and checklist."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Add ``--json``."""
        parser.add_argument("--json", action="store_true", help="one JSON object on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print it."""
        state = everything()
        if options["json"]:
            self.stdout.write(json.dumps(state, default=lambda value: value.isoformat(), ensure_ascii=False))
            return
        for name, rows in state.items():
            self.stdout.write(f"{name}: {len(rows)}")
            for row in rows:
                self.stdout.write("  " + "  ".join(f"{key}={value}" for key, value in row.items()))
