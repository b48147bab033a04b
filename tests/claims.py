"""Numbers that one test process has for itself: ports of loopback, subnets of bridges.

A claim is an abstract Unix socket of that name. The kernel gives it to one process, within the network
namespace that ports and bridges belong to, and takes it back however that process ends.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: Ports of a process: it may have to go round them while closed connections still hold some.
BLOCK = 200
FIRST_PORT = 10_000
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def hold(kind: str, numbers: Iterable[int]) -> tuple[int, socket.socket]:
    """Return the first number that nobody holds, and what holds it until it is closed.

    Raises:
        RuntimeError: all of them are held.
    """
    for number in numbers:
        holder = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            holder.bind(f"\0bonghwa-tests-{kind}-{number}")
        except OSError:
            holder.close()
        else:
            return number, holder
    raise RuntimeError(f"every {kind} is held by another test process")


@contextmanager
def claimed(kind: str, numbers: Iterable[int]) -> Iterator[int]:
    """Hold the first number that nobody holds until the block ends.

    Raises:
        RuntimeError: all of them are held.
    """
    number, holder = hold(kind, numbers)
    with holder:
        yield number


class Ports:
    """Ports that no other test process hands out and that the kernel gives to no outgoing connection.

    A port that was found by binding to 0 may be the local end of somebody's connection a moment later; these
    lie below the range of such ends.
    """

    def __init__(self) -> None:
        last = 32_768
        with suppress(OSError, ValueError, IndexError):
            last = int(EPHEMERAL.read_text().split()[0])
        if last < FIRST_PORT + 100 * BLOCK:  # a machine that lends nearly every port to connections
            last = FIRST_PORT + 100 * BLOCK
        first, self._holder = hold("ports", range(FIRST_PORT, last - BLOCK + 1, BLOCK))
        self._ports = itertools.cycle(range(first, first + BLOCK))

    def free(self) -> int:
        """Return the next port that nothing is bound to.

        Raises:
            RuntimeError: none of the block is free.
        """
        for port in itertools.islice(self._ports, BLOCK):
            with socket.socket() as probe, suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
        raise RuntimeError(f"none of {BLOCK} ports is free")

    def close(self) -> None:
        """Let other processes have the block."""
        self._holder.close()
