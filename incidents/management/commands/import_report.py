"""``manage.py import_report FILE``: a report's Markdown into an incident with typed rows."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.translation import gettext as _

from incidents.reports.importing import ImportRefused, import_text, read_file
from incidents.reports.issues import describe


class Command(BaseCommand):
    """Imports one report; a known one updates its incident."""

    help = "Import a Markdown report (UTF-8, at most 2 MiB); importing a known report updates its incident."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the file."""
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        """Import and tell what was kept as plain text.

        Raises:
            CommandError: the file is no report; one line.
        """
        path: Path = options["file"]
        try:
            done = import_text(text=read_file(path), name=str(path), now=timezone.now())
        except ImportRefused as error:
            raise CommandError(str(error)) from error
        for issue in done.issues:
            self.stderr.write(f"{path}:{issue.line}: {describe(issue)}")
        words = _("imported as") if done.created else _("updated") if done.changed else _("unchanged:")
        self.stdout.write(f"{path}: {words} INC-{done.incident.number} {done.incident.title}")
