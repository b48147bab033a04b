"""``manage.py prober``: probe from elsewhere and report to a portal. Needs its URL and a token alone."""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from portal.env import env
from portal.monitoring.probes.connectivity import Connectivity, parse_addresses
from portal.monitoring.probes.guard import Guard, parse_policy
from portal.monitoring.remote import GaveUp, Rejected, Remote


class Command(BaseCommand):
    """Runs until SIGTERM; ends by itself with status 2 for a token that is not known, 1 for a dead portal."""

    help = "Probes what a portal assigned to this prober and reports the results to it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """The token comes from PROBER_TOKEN or PROBER_TOKEN_FILE: an argument would show in process lists."""
        parser.add_argument("--url", default="", help="the portal's address; default PROBER_URL")
        parser.add_argument("--once", action="store_true", help="probe everything once, report, end")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the loop."""
        url, token = options["url"] or env.str("PROBER_URL", ""), env.str("PROBER_TOKEN", "")
        if not url or not token:
            raise CommandError(
                "Set PROBER_URL to the portal's address and PROBER_TOKEN to the prober's token."
            )
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_received: stop.set())
        try:
            remote = _remote(url, token, stop)
            if options["once"]:
                remote.round()
                stop.set()
            remote.run()
            if remote.waiting:
                sys.exit(1)
        except ValueError as error:
            raise CommandError(str(error)) from error
        except (Rejected, GaveUp) as error:
            self.stderr.write(f"prober: {error}")
            sys.exit(2 if isinstance(error, Rejected) else 1)


def _remote(url: str, token: str, stop: threading.Event) -> Remote:
    """Return the prober as the environment describes it.

    Raises:
        ValueError: a value is wrong.
    """
    chosen = Guard(policy=parse_policy(["0.0.0.0/0", "::/0"]))
    return Remote(
        url=url,
        token=token,
        guard=Guard(policy=parse_policy(settings.PROBE_ALLOW), ca_file=settings.PROBE_CA_FILE),
        connectivity=Connectivity(parse_addresses(settings.PROBE_CONNECTIVITY), chosen),
        stop=stop,
    )
