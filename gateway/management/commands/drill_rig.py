"""Run the session of a drill; ``manage.py drill`` starts it."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from gateway import logbook
from gateway.drills.rig import Orders, Rig


class Command(BaseCommand):
    """Reads its orders from the first line of standard input and ends with it."""

    help = __doc__
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the descriptor that reports go to."""
        parser.add_argument("--out", type=int, required=True, help="file descriptor of the reports")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until standard input ends.

        Raises:
            CommandError: the orders are wrong.
        """
        # Unbuffered: what follows the first line is for the event loop.
        with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as orders_in:
            line = orders_in.readline()
        try:
            orders = Orders.read(line)
        except (ValueError, KeyError, TypeError) as error:
            raise CommandError(f"wrong orders: {error}") from error
        asyncio.run(self._run(orders, options["out"], logbook.install()))

    async def _run(self, orders: Orders, out: int, cap: logbook.LineCap) -> None:
        await Rig(orders, settings.REDIS_URL, out, cap).run()
