"""Run the Kiwoom simulator."""

from __future__ import annotations

import asyncio
import signal
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from gateway.config import SIMULATOR_KEY, Mode
from gateway.simulator.client import ITEM_CAP
from gateway.simulator.faults import Fault
from gateway.simulator.server import Simulator


class Command(BaseCommand):
    """Serves invented market data in Kiwoom's protocol on loopback until SIGTERM or Ctrl-C."""

    help = __doc__
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the port, the first fault, the market's speed and a connection's cap."""
        parser.add_argument("--port", type=int, help="default: the port of the gateway's WebSocket URL")
        parser.add_argument("--fault", default="none", help=", ".join(Fault))
        parser.add_argument("--pace", type=float, default=1.0, help="multiplies the market's speed")
        parser.add_argument("--cap", type=int, default=ITEM_CAP, help="items that one connection may hold")

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve until told to stop.

        Raises:
            CommandError: the fault is unknown or the port is taken.
        """
        config = settings.GATEWAY_UPSTREAM
        credentials = dict([SIMULATOR_KEY])
        if config.mode is Mode.SIMULATOR:
            credentials |= {key.app_key: key.secret_key for key in config.keys}
        simulator = Simulator(credentials, pace=options["pace"], cap=options["cap"])
        try:
            simulator.faults.switch(options["fault"])
        except ValueError as error:
            raise CommandError(f"--fault: {error}; one of {', '.join(Fault)}") from error
        default = urlsplit(config.ws_url).port if config.mode is Mode.SIMULATOR else None
        port = options["port"] or default or settings.PORT + 1
        try:
            asyncio.run(self._serve(simulator, port))
        except OSError as error:
            raise CommandError(f"cannot listen on 127.0.0.1:{port}: {error.strerror}") from error

    async def _serve(self, simulator: Simulator, port: int) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        async with simulator.run("127.0.0.1", port) as bound:
            self.stdout.write(f"Kiwoom simulator (invented data) on 127.0.0.1:{bound}")
            self.stdout.flush()
            await stop.wait()
