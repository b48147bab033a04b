"""``make bench-bus``: what rows, topics and tokens cost Redis, by the number of web processes that listen.

A Redis of its own on one core; the publisher and readers of the subscriptions are on the other. Rows are
published as the gateway publishes them: one message for each topic and turn, here with one row each, which is
the most expensive way. Prints a table; there is no target.
"""

from __future__ import annotations

import argparse
import selectors
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from bench import machine
from bench.payload import ROW_BYTES, row
from bench.processes import BenchError
from bench.systems.base import Place, redis_server
from gateway import keys

PROCESSES = (0, 1, 2, 4, 8, 16)
ROWS, AT_ONCE = 40_000, 200
#: Names whose memory is measured, for each kind.
NAMES = 20_000


@dataclass(frozen=True, slots=True)
class Cost:
    """What one row cost with so many listeners: microseconds of Redis' core, and bytes that it sent."""

    processes: int
    cpu_us: float
    sent: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Returns 0, or 2 when it cannot run."""
    parser = argparse.ArgumentParser(prog="python -m bench.bus", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    options = parser.parse_args(arguments)
    try:
        server, load = machine.cores()
        # ``redis_server`` runs on the second core of its place.
        with (
            tempfile.TemporaryDirectory(prefix="bonghwa-bus-") as folder,
            redis_server(Place(load, server, Path(folder))) as port,
            redis.Redis(port=port) as client,
        ):
            print(
                f"{machine.describe()}; {client.info('server')['redis_version']}, rows of {ROW_BYTES} bytes"
            )
            costs = [cost(client, port, processes, options.rows) for processes in PROCESSES]
            _show(costs)
            for kind, size in sizes(client, port).items():
                print(f"  {kind}: {size:,.0f} bytes")
    except BenchError as error:
        print(f"bench-bus: {error}", file=sys.stderr)
        return 2
    return 0


def cost(client: redis.Redis, port: int, processes: int, rows: int) -> Cost:
    """Publish so many rows of one topic to so many listeners."""
    channel = keys.ROWS_CHANNEL.format(topic="0B:005930")
    message = b"1|" + row("005930")
    with listening(port, processes, [channel]):
        before, began = _used(client), client.info("stats")["total_net_output_bytes"]
        for _ in range(rows // AT_ONCE):
            with client.pipeline(transaction=False) as pipe:
                for _ in range(AT_ONCE):
                    pipe.publish(channel, message)
                heard = pipe.execute()
            if heard[-1] != processes:
                raise BenchError(f"{processes - heard[-1]} of {processes} listeners are gone")
        used, sent = _used(client) - before, client.info("stats")["total_net_output_bytes"] - began
    return Cost(processes, 1e6 * used / rows, sent / rows)


def sizes(client: redis.Redis, port: int) -> dict[str, float]:
    """Return the bytes of Redis' memory that one of each kind takes."""
    value = b"1|1790000000000|" + row("005930")
    topics = [f"0B:{number:06}" for number in range(NAMES)]
    found: dict[str, float] = {}
    with _grown(client, found, f"a topic's last value of {len(value)} bytes"):
        for start in range(0, NAMES, 1000):
            client.hset(keys.LAST, mapping=dict.fromkeys(topics[start : start + 1000], value))
    with _grown(client, found, "a feed key's token, twice"), client.pipeline(transaction=False) as pipe:
        for number in range(NAMES):
            pipe.set(
                keys.TOKEN.format(digest=f"{number:064}"),
                b'{"key":123456,"expires":1790000000}',
                ex=86400,
            )
            pipe.set(keys.TOKEN_OF.format(key=number), b'{"nonce":"%032d","expires":1790000000}' % number)
        pipe.execute()
    channels = [keys.ROWS_CHANNEL.format(topic=topic) for topic in topics]
    before = _memory(client)
    with listening(port, 1, channels):
        found["a channel's first subscription"] = (_memory(client) - before) / NAMES
        first = _memory(client)
        with listening(port, 1, channels):
            found["each further one"] = (_memory(client) - first) / NAMES
    return found


@contextmanager
def _grown(client: redis.Redis, found: dict[str, float], kind: str) -> Iterator[None]:
    before = _memory(client)
    yield
    found[kind] = (_memory(client) - before) / NAMES


def _memory(client: redis.Redis) -> int:
    return int(client.info("memory")["used_memory"])


def _used(client: redis.Redis) -> float:
    used = client.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


@contextmanager
def listening(port: int, count: int, channels: Sequence[str]) -> Iterator[None]:
    """Subscribe so many connections to all channels and read what comes until the block ends."""
    sockets = [_subscribed(port, channels) for _ in range(count)]
    done = threading.Event()
    thread = threading.Thread(target=_drain, args=(sockets, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        for one in sockets:
            one.close()


def _subscribed(port: int, channels: Sequence[str]) -> socket.socket:
    found = socket.create_connection(("127.0.0.1", port), timeout=10)
    for start in range(0, len(channels), 1000):
        part = channels[start : start + 1000]
        words = [b"SUBSCRIBE", *(channel.encode() for channel in part)]
        found.sendall(
            b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
        )
        heard = 0
        while heard < len(part):
            heard += found.recv(1 << 16).count(b"*3\r\n")
    found.setblocking(False)
    return found


def _drain(sockets: Sequence[socket.socket], done: threading.Event) -> None:
    with selectors.DefaultSelector() as selector:
        for one in sockets:
            selector.register(one, selectors.EVENT_READ)
        while not done.is_set():
            if not sockets:
                done.wait(0.1)
            for key, _ in selector.select(0.1) if sockets else ():
                key.fileobj.recv(1 << 20)  # type: ignore[union-attr] # registered as a socket above


def _show(costs: Sequence[Cost]) -> None:
    print("  web processes  µs of Redis a row  bytes sent a row")
    for one in costs:
        print(f"  {one.processes:>13}  {one.cpu_us:>17.2f}  {one.sent:>16,.0f}")
    first, last = costs[1], costs[-1]
    each = (last.cpu_us - first.cpu_us) / (last.processes - first.processes)
    print(f"  each further process: {each:.2f} µs a row")


if __name__ == "__main__":
    sys.exit(main())
