"""Takes ``TOPIC ROW`` lines on a port of loopback and calls ``group_send`` for each."""

from __future__ import annotations

import asyncio
import sys

from bench.channels import app  # noqa: F401 - it configures the settings
from bench.channels.app import group

from channels.layers import get_channel_layer  # isort: skip # after the settings


async def serve(port: int) -> None:
    """Serve for ever."""
    layer = get_channel_layer()
    if layer is None:
        raise RuntimeError("no channel layer is configured")

    async def feed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            topic, _, row = line.decode().rstrip("\n").partition(" ")
            await layer.group_send(group(topic), {"type": "row", "row": row})
        writer.close()

    server = await asyncio.start_server(feed, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
