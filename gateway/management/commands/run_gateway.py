"""Run the gateway: the one owner of each connection to Kiwoom."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from gateway import logbook
from gateway.market_days import read_days_now
from gateway.owner import Gateway


class Command(BaseCommand):
    """Owns the upstream connections until SIGTERM or Ctrl-C."""

    help = __doc__
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until told to stop."""
        asyncio.run(self._run(logbook.install()))

    async def _run(self, cap: logbook.LineCap) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        gateway = Gateway(settings.GATEWAY_UPSTREAM, settings.REDIS_URL, cap, read_days_now)
        await gateway.run(stop)
