"""``manage.py export_report NUMBER``: a report to standard output."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from incidents.models import Incident
from incidents.reports.drafting import site_language
from incidents.reports.export import FORMATS, ReportMissing, render, render_page
from incidents.reports.layout import LANGUAGES


class Command(BaseCommand):
    """Prints one report."""

    help = "Print the report of an incident."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the number and the form."""
        parser.add_argument("number", type=int)
        parser.add_argument("--kind", choices=["summary", "detail"], default="summary")
        parser.add_argument("--format", choices=FORMATS, default="md")
        parser.add_argument("--lang", choices=LANGUAGES, default=None, help="default: the site's language")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print it.

        Raises:
            CommandError: there is no such incident, or it has no report.
        """
        incident = Incident.objects.filter(number=options["number"]).first()
        if incident is None:
            raise CommandError(f"There is no INC-{options['number']}.")
        kind, language = options["kind"], options["lang"] or site_language()
        try:
            if options["format"] == "html":
                text = render_page(incident, kind, language)
            else:
                text = render(incident, kind, options["format"], language)
        except ReportMissing as error:
            raise CommandError(str(error)) from error
        self.stdout.write(text, ending="")
