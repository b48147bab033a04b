"""nginx as shipped, in front of two web processes that are replaced: a WebSocket finds one that listens."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

import pytest
import websockets

from tests.servers import SNIPPET, serving
from tests.services import free_port
from tests.upgrade.balancer import balancing

pytestmark = pytest.mark.nginx
CLIENTS = 20


async def echo(socket: websockets.ServerConnection) -> None:
    async for message in socket:
        await socket.send(message)


def listening(port: int) -> AbstractAsyncContextManager[websockets.Server]:
    """Return a server of the kind that nginx passes to."""
    return websockets.serve(echo, "127.0.0.1", port)


async def test_a_process_that_was_replaced_is_used_again_at_once_by_clients_that_stay():
    outside, first, second = free_port(), free_port(), free_port()
    async with asyncio.timeout(30):
        with serving(balancing(outside, [first, second]), outside):
            async with listening(second):
                for _ in range(2):  # the first is away: each of nginx's turns ends at the second
                    assert await come_and_stay(outside, 1) == ["here"]
            async with listening(first):
                assert await come_and_stay(outside, CLIENTS) == ["here"] * CLIENTS


async def come_and_stay(port: int, count: int) -> list[str]:
    """Return what each client hears while all the others are connected too."""
    sockets = await asyncio.gather(
        *(websockets.connect(f"ws://127.0.0.1:{port}/ws", proxy=None) for _ in range(count))
    )
    try:
        for socket in sockets:
            await socket.send("here")
        return [str(await socket.recv()) for socket in sockets]
    finally:
        await asyncio.gather(*(socket.close() for socket in sockets))


@pytest.mark.parametrize("path", sorted(SNIPPET.parent.glob("bonghwa*.conf")), ids=lambda path: path.name)
def test_every_snippet_never_holds_a_web_process_to_be_away(path):
    inside = path.read_text().partition("upstream bonghwa {")[2].partition("}")[0]
    servers = [line.strip() for line in inside.splitlines() if line.strip().startswith("server ")]
    assert servers
    assert all(line.endswith(" max_fails=0;") for line in servers)
