"""``manage.py serve``: the web process."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

# Installs Twisted's asyncio reactor before anything else can install another.
from gateway.server import FeedServer  # isort: skip

from channels.routing import get_default_application
from daphne.endpoints import build_endpoint_description_strings
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext_lazy as _


class Command(BaseCommand):
    """Serve HTTP and WebSocket with Daphne until SIGTERM or Ctrl-C."""

    help = str(_("Serve the portal and the feed with Daphne."))

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the address, which is BIND and PORT unless given."""
        parser.add_argument("--host", default=settings.BIND, help="address to listen on (BIND)")
        parser.add_argument("--port", type=int, default=settings.PORT, help="port to listen on (PORT)")

    def handle(self, *args: Any, host: str, port: int, **options: Any) -> None:
        """Run until stopped.

        Raises:
            CommandError: the address cannot be listened on.
        """
        feed = settings.GATEWAY_FEED
        server = FeedServer(
            get_default_application(),
            endpoints=build_endpoint_description_strings(host=host, port=port),
            max_message_bytes=feed.max_message_bytes,
            drain_timeout=feed.drain_timeout,
            send_buffer=feed.send_buffer,
            watched=True,
            server_name="",
            verbosity=0,
        )
        self.stdout.write(f"Serving http://{host}:{port}/")
        server.run()
        if server.failure:
            raise CommandError(f"Cannot listen on {host}:{port}: {server.failure}")
