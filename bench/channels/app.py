"""A consumer that joins a group for each topic and sends on what the groups get."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import parse_qs

from django.conf import settings

settings.configure(
    SECRET_KEY="bench",  # noqa: S106 - signs nothing here
    CHANNEL_LAYERS={
        "default": {
            "BACKEND": "channels_redis.core.RedisChannelLayer",
            # The default of 100 would lose rows as soon as more are on their way.
            "CONFIG": {"hosts": [os.environ["BENCH_REDIS"]], "capacity": 5000},
        }
    },
)

from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402 - after the settings
from channels.routing import ProtocolTypeRouter  # noqa: E402 - after the settings


def group(topic: str) -> str:
    """Return a topic's group; a group's name has no colon."""
    return topic.replace(":", ".")


class Rows(AsyncWebsocketConsumer):
    """One client."""

    async def connect(self) -> None:
        """Join the groups named in the query."""
        query = parse_qs(self.scope["query_string"].decode())
        self.names = [group(topic) for topic in query["topics"][0].split(",")]
        for name in self.names:
            await self.channel_layer.group_add(name, self.channel_name)
        await self.accept()
        await self.send(text_data="ready")

    async def disconnect(self, code: int) -> None:
        """Leave them."""
        for name in self.names:
            await self.channel_layer.group_discard(name, self.channel_name)

    async def row(self, event: dict[str, Any]) -> None:
        """Send one row."""
        await self.send(text_data=event["row"])


application = ProtocolTypeRouter({"websocket": Rows.as_asgi()})
