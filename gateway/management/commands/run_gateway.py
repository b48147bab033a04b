"""Run the gateway: the one owner of each connection to Kiwoom."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from gateway import logbook
from gateway.config import Mode
from gateway.market_days import read_days_now
from gateway.owner import Gateway
from gateway.simulator.server import Simulator
from gateway.stall import LoopWatch


class Command(BaseCommand):
    """Owns the upstream connections until SIGTERM or Ctrl-C."""

    help = __doc__
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Add ``--simulator``."""
        parser.add_argument(
            "--simulator",
            action="store_true",
            help="serve the simulator from this process too, when KIWOOM_MODE is simulator",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until told to stop.

        Raises:
            CommandError: there is no key.
        """
        simulated = options["simulator"] and settings.GATEWAY_UPSTREAM.mode is Mode.SIMULATOR
        if not all(key.app_key and key.secret_key for key in settings.GATEWAY_UPSTREAM.keys):
            raise CommandError("The gateway needs KIWOOM_APP_KEY and KIWOOM_SECRET_KEY.")
        asyncio.run(self._run(logbook.install(), simulated=simulated))

    async def _run(self, cap: logbook.LineCap, *, simulated: bool) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        LoopWatch(loop).start()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        gateway = Gateway(settings.GATEWAY_UPSTREAM, settings.REDIS_URL, cap, read_days_now)
        async with _simulator() if simulated else nullcontext():
            await gateway.run(stop)


@asynccontextmanager
async def _simulator() -> AsyncIterator[None]:
    config = settings.GATEWAY_UPSTREAM
    simulator = Simulator({key.app_key: key.secret_key for key in config.keys})
    async with simulator.run("127.0.0.1", urlsplit(config.ws_url).port or settings.PORT + 1):
        yield
