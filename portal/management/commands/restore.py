"""``manage.py restore FILE``: what a backup holds, into an empty database."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from portal.backup.archive import Manifest, Refused
from portal.backup.load import check, occupied, require_same_tables, restore


class Command(BaseCommand):
    """Restores one backup, all or nothing."""

    help = "Verify FILE, which manage.py backup wrote, and put it into an empty, migrated database."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the file and how far to go."""
        parser.add_argument("file", type=Path)
        parser.add_argument("--dry-run", action="store_true", help="verify the file and change nothing")
        parser.add_argument("--reason", default="", help="why, for the audit")
        parser.add_argument(
            "--no-signature",
            action="store_true",
            help="trust the checksums of a file no key listed here signed",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Verify, restore, and tell what the audit and the channels say.

        Raises:
            CommandError: the file or the database is not fit; nothing was changed.
        """
        path, signed = options["file"], not options["no_signature"]
        try:
            if options["dry_run"]:
                self._dry_run(path, check(path, signed=signed))
                return
            done = restore(path, now=timezone.now(), reason=options["reason"], signed=signed)
        except Refused as error:
            raise CommandError(f"{error} Nothing was changed.") from error
        self.stdout.write(f"{path}: {done.rows} rows restored.")
        finding = done.audit.finding
        if finding is None:
            self.stdout.write(
                f"{done.audit.entries} audit entries up to number {done.audit.last}, all genuine."
            )
        else:
            self.stderr.write(f"Audit entry {finding.seq} {finding.fault.value}: {finding.detail}")
        if done.sealed:
            self.stderr.write(
                f"No key here opens the address of these channels: {', '.join(done.sealed)}. Put the old "
                "CHANNEL_KEY or SECRET_KEY at the end of CHANNEL_KEY, or enter the addresses again."
            )

    def _dry_run(self, path: Path, manifest: Manifest) -> None:
        rows = sum(part.rows for part in manifest.parts)
        self.stdout.write(
            f"{path}: made {manifest.made_at} by version {manifest.version} on {manifest.database}, "
            f"{len(manifest.parts)} parts, {rows} rows, {'with' if manifest.history else 'without'} history; "
            "every checksum is right."
        )
        require_same_tables(manifest)
        if reasons := occupied():
            self.stderr.write(reasons)
