"""``manage.py verify_checklist``: run every verifier now and print what was seen."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from incidents.checklist import verify_all
from incidents.models import VerificationRun


class Command(BaseCommand):
    """Checks the prevention checklists against what runs."""

    help = "Run the verifiers of all checklist items and print the results."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the form of the output."""
        parser.add_argument("--json", action="store_true", help="one JSON list")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run and print."""
        rows = [_row(run) for run in verify_all(now=timezone.now())]
        if options["json"]:
            self.stdout.write(json.dumps(rows, ensure_ascii=False))
            return
        for row in rows:
            source = f"INC-{row['incident']}" if row["incident"] else "-"
            self.stdout.write(
                f"{source}  {row['outcome']:<8} {row['state']:<9} {row['item']}  "
                f"[{row['verifier']} {row['target']}]  {row['observed']}"
            )


def _row(run: VerificationRun) -> dict[str, Any]:
    item = run.item
    return {
        "incident": item.incident.number if item.incident else None,
        "item": item.text,
        "verifier": item.verifier,
        "target": item.target,
        "outcome": str(run.outcome),
        "state": str(item.state),
        "observed": run.observed,
        "method": run.method,
        "at": run.at.isoformat(),
    }
