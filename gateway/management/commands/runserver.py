"""``manage.py runserver``: Daphne's development server with the feed's server class."""

from __future__ import annotations

import os
from typing import Any

# Installs Twisted's asyncio reactor before anything else can install another.
from gateway.server import FeedServer  # isort: skip

from daphne.management.commands.runserver import Command as DaphneCommand
from django.conf import settings


class Command(DaphneCommand):  # type: ignore[misc] # Daphne carries no types
    """Serve with back-pressure and shared frames, as production does."""

    def server_cls(self, **options: Any) -> FeedServer:
        """Return the server for Daphne's options; sizes of messages are the feed's."""
        for name in ("websocket_max_message_size", "websocket_max_frame_size"):
            options.pop(name)
        feed = settings.GATEWAY_FEED
        return _Server(
            **options,
            max_message_bytes=feed.max_message_bytes,
            drain_timeout=feed.drain_timeout,
            send_buffer=feed.send_buffer,
            verbosity=0,
        )


class _Server(FeedServer):
    def listen_error(self, failure: Any) -> None:
        """End the process; under the reloader this is not the main thread, which ``sys.exit`` would end."""
        os.write(2, f"Cannot listen: {failure.getErrorMessage()}\n".encode())
        os._exit(1)
