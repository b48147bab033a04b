"""Asynchronous clients of Redis that tell a dead connection from a quiet one."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.connection import (
    Connection,
    ConnectionPool,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError
from redis.maint_notifications import MaintNotificationsConfig

#: Seconds until the connection is asked for.
CONNECT_TIMEOUT = 2.0
#: The kernel asks a silent peer after 10 s and gives the connection up after 25 s.
KEEPALIVE: Mapping[int, int | bytes] = {
    socket.TCP_KEEPIDLE: 10,
    socket.TCP_KEEPINTVL: 5,
    socket.TCP_KEEPCNT: 3,
}


class _Noticing:
    """A connection whose end is told to who waits for a message, and which leaves a server that was demoted.

    A primary that became a replica keeps its connections and refuses every write: the name has to be looked
    up again.

    A kernel that gives a connection up says ETIMEDOUT, which Python calls ``TimeoutError``. redis-py takes
    that for the end of the wait and returns None, at once and at every following call, without letting the
    event loop run: whoever reads in a loop never stops. Seen with redis-py 8.1 and Python 3.11.
    """

    _reader: Any
    disconnect: Any

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Read as redis-py does.

        Raises:
            redis.ConnectionError: nothing came, because the connection is dead, or the server is a replica.
        """
        try:
            response = await super().read_response(*args, **options)  # type: ignore[misc] # of the mixed-in class
        except ReadOnlyError as refusal:
            await self.disconnect(nowait=True)
            raise RedisConnectionError("the server is a replica now") from refusal
        error = None if response is not None or self._reader is None else self._reader.exception()
        if error is not None:
            raise RedisConnectionError(f"the connection to Redis is dead: {error}") from error
        return response


class _Tcp(_Noticing, Connection):
    pass


class _Tls(_Noticing, SSLConnection):
    pass


class _Unix(_Noticing, UnixDomainSocketConnection):
    pass


_NOTICING: Mapping[type, type] = {Connection: _Tcp, SSLConnection: _Tls, UnixDomainSocketConnection: _Unix}


class _Subscription(PubSub):
    """A subscription that stays lost: its owner makes another.

    redis-py connects once more before it raises, even without retries, while whoever subscribes to more on
    the same connection connects as well. Both then read one stream, which is a ``RuntimeError``.
    """

    async def _reconnect(
        self, conn: Any, error: BaseException | None = None, failure_count: int | None = None, *_: Any
    ) -> None:
        await conn.disconnect(nowait=True, error=error, failure_count=failure_count)


class _Client(Redis):
    def pubsub(self, **options: Any) -> PubSub:
        return _Subscription(self.connection_pool, **options)


def connect(url: str, *, keepalive: Mapping[int, int | bytes] = KEEPALIVE, **options: Any) -> Redis:
    """Return a client that never retries by itself. Its callers bound each use with ``asyncio.timeout``.

    The library's own timeout would lose cancellations (Python 3.11's ``asyncio.wait_for`` does), so that a
    process told to stop would go on. Notices of maintenance, which a Redis service may send, are off: by
    default redis-py 8.1 has them on and then does not look whether an idle connection was closed, so that
    after a restart of Redis the use of each fails once more.

    Raises:
        ValueError: the URL is none of Redis.
    """
    network = {} if url.startswith("unix:") else {"socket_keepalive_options": keepalive}
    pool = ConnectionPool.from_url(
        url,
        socket_timeout=None,
        socket_connect_timeout=CONNECT_TIMEOUT,
        retry=Retry(NoBackoff(), 0),
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
        **network,
        **options,
    )
    pool.connection_class = _NOTICING[pool.connection_class]
    return _Client.from_pool(pool)
