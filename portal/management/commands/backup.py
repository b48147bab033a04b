"""``manage.py backup FILE``: all that has to outlive the database, in one file."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from portal.backup.archive import Refused
from portal.backup.dump import back_up


class Command(BaseCommand):
    """Writes one backup while the system runs."""

    help = (
        "Write configuration, accounts, incidents, evidence, reports, checklists and audit to FILE, "
        "for manage.py restore into SQLite or PostgreSQL."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the file."""
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--history", action="store_true", help="measurements too; they are most of the size"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Write it and say what is not in it.

        Raises:
            CommandError: the file exists or cannot be written; one line.
        """
        path: Path = options["file"]
        try:
            done = back_up(path, now=timezone.now(), history=options["history"])
        except Refused as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror or error}.") from error
        self.stdout.write(f"{path}: {done.rows} rows, {done.size} bytes, SHA-256 {done.sha256}")
        self.stdout.write(
            "Keep SECRET_KEY, CHANNEL_KEY and AUDIT_KEY elsewhere: they are not in it; a restore needs them."
        )
