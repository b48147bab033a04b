"""``manage.py verify_audit``: whether the audit is complete and unchanged."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from incidents import audit
from incidents.audit_check import verify


class Command(BaseCommand):
    """Exits 0 when every entry is genuine and none is missing, 1 otherwise."""

    help = "Verify that no audit entry was changed, inserted, removed or cut off."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add ``--json`` and ``--accept``."""
        parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
        parser.add_argument(
            "--accept",
            metavar="REASON",
            help="accept the present end of the audit after a backup was restored; the reason is recorded",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the verdict.

        Raises:
            CommandError: something is wrong with an entry.
        """
        if options["accept"] is not None:
            if not options["accept"].strip():
                raise CommandError("--accept needs a reason, which is recorded.")
            audit.reanchor(reason=options["accept"])
        verdict = verify()
        finding = verdict.finding
        if options["json"]:
            found = asdict(finding) if finding else None
            result = {"ok": finding is None, "entries": verdict.entries, "last": verdict.last}
            self.stdout.write(json.dumps({**result, "finding": found}, ensure_ascii=False))
            if finding is not None:
                raise SystemExit(1)
        elif finding is not None:
            raise CommandError(f"Audit entry {finding.seq} {finding.fault.value}: {finding.detail}")
        else:
            self.stdout.write(f"{verdict.entries} audit entries up to number {verdict.last}, all genuine.")
