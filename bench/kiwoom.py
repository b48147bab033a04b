"""The simulator's server, with rows from the load generator instead of a market."""

from __future__ import annotations

import asyncio
import sys

from gateway.config import SIMULATOR_KEY
from gateway.simulator.server import Simulator

#: Longest line: the rows of one topic and one millisecond.
LINE_MAX = 1024 * 1024


class Feeder(Simulator):
    """Sends what comes as ``TOPIC ROW,ROW`` lines to every client that has logged in."""

    async def feed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read lines to the end; those that are read together leave in one REAL frame, as Kiwoom's do."""
        rest = b""
        while data := await reader.read(LINE_MAX):
            *lines, rest = (rest + data).split(b"\n")
            if lines:
                rows = b",".join(line.partition(b" ")[2] for line in lines)
                text = (b'{"data":[' + rows + b'],"trnm":"REAL"}').decode()
                for peer in self.peers.values():
                    peer.push(text)
        writer.close()

    async def _market(self) -> None:
        """Invent nothing."""


async def serve(port: int, feed_port: int) -> None:
    """Serve Kiwoom's protocol on ``port`` and take lines on ``feed_port``, for ever."""
    feeder = Feeder(dict([SIMULATOR_KEY]))
    async with feeder.run("127.0.0.1", port):
        server = await asyncio.start_server(feeder.feed, "127.0.0.1", feed_port, limit=LINE_MAX)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
