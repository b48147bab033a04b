"""A link to a network namespace of its own, whose delay, loss and cuts are set while it is used.

``tc netem`` would do the same to a veth pair, but kernels of small machines often lack it. This program
needs only TUN: it hands every packet from one side to the other, late, or not at all, so that TCP's own
retransmission is at work. ``python -m tests.faults.link NAME SUBNET`` reads ``delay loss`` from its
standard input, ``-`` for a cut.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
PACKET = 65536
#: Packets under way at most; more are lost, as in a router's queue.
QUEUE_MOST = 20_000


def main(name: str, subnet: str) -> int:
    """Carry packets until standard input ends; prints ``ready`` once both sides have their addresses."""
    near, far = _device(f"{name}n"), _device(f"{name}f")
    for words in (
        ("ip", "netns", "add", name),
        ("ip", "link", "set", f"{name}f", "netns", name),
        ("ip", "address", "add", f"{subnet}.1/30", "dev", f"{name}n"),
        ("ip", "link", "set", f"{name}n", "up"),
        ("ip", "-n", name, "address", "add", f"{subnet}.2/30", "dev", f"{name}f"),
        ("ip", "-n", name, "link", "set", f"{name}f", "up"),
        ("ip", "-n", name, "link", "set", "lo", "up"),
    ):
        subprocess.run(words, check=True)  # noqa: S603 - iproute2
    print("ready", flush=True)
    asyncio.run(_carry(near, far))
    return 0


def _device(name: str) -> int:
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return descriptor


class _Carrier:
    """What happens to packets now."""

    def __init__(self) -> None:
        self.delay, self.loss, self.cut = 0.0, 0.0, False
        self.under_way = 0

    def carry(self, source: int, target: int) -> None:
        loop = asyncio.get_running_loop()
        with suppress(BlockingIOError):
            while packet := os.read(source, PACKET):
                lost = self.cut or random.random() < self.loss  # noqa: S311 - chance
                if lost or self.under_way >= QUEUE_MOST:
                    continue
                if self.delay:
                    self.under_way += 1
                    loop.call_later(self.delay, self._arrive, target, packet)
                else:
                    _write(target, packet)

    def _arrive(self, target: int, packet: bytes) -> None:
        self.under_way -= 1
        _write(target, packet)


def _write(target: int, packet: bytes) -> None:
    with suppress(OSError):  # the other side is down, or its queue is full: the packet is lost
        os.write(target, packet)


async def _carry(near: int, far: int) -> None:
    loop, carrier = asyncio.get_running_loop(), _Carrier()
    loop.add_reader(near, carrier.carry, near, far)
    loop.add_reader(far, carrier.carry, far, near)
    while line := await asyncio.to_thread(sys.stdin.readline):
        carrier.cut = line.strip() == "-"
        if not carrier.cut:
            carrier.delay, carrier.loss = (float(word) for word in line.split())
        print("set", flush=True)


@dataclass(slots=True)
class Link:
    """The running program; ``near`` and ``far`` are the addresses of both sides."""

    name: str
    subnet: str
    process: subprocess.Popen[str]

    @property
    def near(self) -> str:
        """The address here."""
        return f"{self.subnet}.1"

    @property
    def far(self) -> str:
        """The address in the other namespace."""
        return f"{self.subnet}.2"

    @property
    def inside(self) -> Sequence[str]:
        """Words before a command that shall run in the other namespace."""
        return ("ip", "netns", "exec", self.name)

    def good(self) -> None:
        """No delay, no loss."""
        self._set("0 0")

    def slow(self, round_trip: float, loss: float) -> None:
        """Delay every packet by half of ``round_trip`` seconds and lose this share of them, both ways."""
        self._set(f"{round_trip / 2:g} {loss:g}")

    def cut(self) -> None:
        """Lose every packet; nobody is told."""
        self._set("-")

    def _set(self, line: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "set\n"


@contextmanager
def a_link() -> Iterator[Link]:
    """Make a namespace and the link to it; both are removed at the end. Needs root.

    Raises:
        OSError: the kernel has no TUN, or this is not root.
    """
    name, subnet = f"bw{os.getpid() % 100_000}", f"10.77.{os.getpid() % 250}"
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", "tests.faults.link", name, subnet],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if process.stdout.readline() != "ready\n":
            raise OSError("no link: TUN, network namespaces and root are needed")
        yield Link(name, subnet, process)
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()
        subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)  # noqa: S603, S607 - iproute2


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
