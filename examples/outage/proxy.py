"""The reverse proxy in front of the example, so that the outage is also seen from the way users come.

It passes requests and WebSockets on and answers 502 or 504 when the service does not. It listens on a
loopback address of its own and lives as long as the demonstration.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

HOST = "127.0.0.2"
#: Seconds in which the service must connect and begin to answer; far below a probe's own limit.
ANSWER_S = 3.0
HEAD_MAX = 16 * 1024
CHUNK = 16 * 1024


class Proxy:
    """A proxy to one port of this machine, in a thread with a loop of its own."""

    def __init__(self, backend: int) -> None:
        self._backend = backend
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, HOST, 0, limit=HEAD_MAX)
        )
        self.port = int(self._server.sockets[0].getsockname()[1])
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Host and port on which it listens."""
        return f"{HOST}:{self.port}"

    def close(self) -> None:
        """Stop listening and end every connection."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._server.close()
        if tasks := asyncio.all_tasks(self._loop):
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.wait(tasks))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), ANSWER_S)
            await self._pass_on(head, reader, writer)
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def _pass_on(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            connecting = asyncio.open_connection("127.0.0.1", self._backend)
            inner, backend = await asyncio.wait_for(connecting, ANSWER_S)
        except (OSError, TimeoutError):
            await _say(writer, "502 Bad Gateway")
            return
        try:
            backend.write(head)
            first = await asyncio.wait_for(inner.read(CHUNK), ANSWER_S)
            if not first:
                await _say(writer, "502 Bad Gateway")
                return
            writer.write(first)
            await asyncio.gather(_pump(inner, writer), _pump(reader, backend))
        except TimeoutError:
            await _say(writer, "504 Gateway Timeout")
        except ConnectionError:
            await _say(writer, "502 Bad Gateway")
        finally:
            backend.close()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while chunk := await source.read(CHUNK):
            sink.write(chunk)
            await sink.drain()
    sink.close()


async def _say(writer: asyncio.StreamWriter, status: str) -> None:
    with suppress(ConnectionError):
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
