"""``manage.py check_proxy [URL]``."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from incidents import registry
from incidents.models import Outcome

VERIFIERS = ("proxy.upgrade", "proxy.forwarding")


class Command(BaseCommand):
    """Looks through the proxy once, with the verifiers of the checklist; exits with 1 unless both pass."""

    help = "Say what the proxy in front of PUBLIC_URL passes on: WebSocket upgrades, host, scheme, address."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the address."""
        parser.add_argument(
            "url", nargs="?", default="", help="ws://… or wss://… of the feed; default: /ws under PUBLIC_URL"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print one line for each verifier.

        Raises:
            CommandError: one does not pass.
        """
        bad = []
        for name in VERIFIERS:
            verifier = registry.verifiers()[name]
            seen = verifier.check(options["url"], verifier.defaults)
            self.stdout.write(f"{name}: {seen.outcome}: {seen.observed}")
            if seen.outcome != Outcome.PASS:
                bad.append(name)
        if bad:
            raise CommandError(f"not right: {', '.join(bad)}")
