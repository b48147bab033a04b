"""The outlet: straight to the socket only while nothing waits, never out of order, never a byte lost."""

from __future__ import annotations

import asyncio
import socket

import pytest
from twisted.internet.interfaces import IPullProducer
from twisted.internet.testing import StringTransport
from zope.interface import implementer  # type: ignore[import-untyped] # it carries no types

from gateway.feed_sink import Frame
from gateway.outlet import Outlet
from tests.conditions import wait_until


class Transport(StringTransport):
    """Twisted's transport for tests, on a real socket; ``drain`` writes out what it holds."""

    def __init__(self, sock):
        super().__init__()
        self.sock = sock

    def getHandle(self):
        return self.sock

    def drain(self, reader):
        """Empty the buffer into the socket and read all of it, then ask the producer for more."""
        held, got = self.value(), b""
        self.clear()
        while held:
            try:
                held = held[self.sock.send(held) :]
            except BlockingIOError:
                got += reader.recv(1 << 20)
        if self.producer is not None:
            self.producer.resumeProducing()
        return got


@implementer(IPullProducer)
class Producer:
    """What a protocol does when its transport is empty."""

    outlet: Outlet | None = None

    def resumeProducing(self):
        if self.outlet is not None:
            self.outlet.drained()

    def stopProducing(self):
        self.stopped = True


@pytest.fixture
def pair():
    """Two ends of a TCP connection that holds little; unlike a local pair, TCP takes parts of a write."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname(), timeout=10)
        ours, _ = server.accept()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def outlet_on(handle, offer=lambda frame: False):
    producer, transport = Producer(), Transport(handle)
    transport.registerProducer(Producer(), True)  # as Twisted's HTTP channel is
    outlet = Outlet(transport, producer, offer)  # type: ignore[arg-type] # implemented by decorator
    producer.outlet = outlet
    return outlet, transport


def test_at_first_it_waits_for_what_was_written_before_it_existed(pair):
    ours, theirs = pair
    outlet, transport = outlet_on(ours)
    assert not outlet.empty
    outlet.write(b"101 Switching")
    assert transport.value() == b"101 Switching"
    transport.drain(theirs)
    assert outlet.empty


def test_while_nothing_waits_data_goes_straight_to_the_socket(pair):
    ours, theirs = pair
    outlet, transport = outlet_on(ours)
    outlet.drained()
    outlet.write(b"one")
    outlet.writeSequence([b"two", b"three"])
    assert transport.value() == b""
    assert outlet.empty
    assert theirs.recv(100) == b"onetwothree"


def test_what_the_kernel_does_not_take_waits_and_is_not_overtaken(pair):
    ours, theirs = pair
    outlet, transport = outlet_on(ours)
    outlet.drained()
    sent = b""
    for number in range(20):
        data = bytes([number]) * 300_007
        outlet.write(data)
        sent += data
    assert not outlet.empty
    assert transport.value()
    got = transport.drain(theirs)
    assert outlet.empty
    outlet.write(b"last")
    ours.close()
    while part := theirs.recv(1 << 20):
        got += part
    assert got == sent + b"last"


def test_a_broken_socket_is_left_to_twisted(pair):
    ours, theirs = pair
    outlet, transport = outlet_on(ours)
    outlet.drained()
    theirs.close()
    ours.close()
    outlet.write(b"data")
    assert transport.value() == b"data"
    assert not outlet.empty


def test_without_a_plain_socket_everything_goes_through_the_transport():
    outlet, transport = outlet_on(object())
    assert not outlet.direct
    outlet.drained()
    outlet.write(b"data")
    assert transport.value() == b"data"
    assert not outlet.empty


async def test_closing_waits_for_no_producer(pair):
    outlet, transport = outlet_on(pair[0])
    outlet.loseConnection()
    assert transport.producer is None
    assert transport.disconnecting


async def test_a_client_that_closes_and_takes_nothing_is_given_up(pair, monkeypatch):
    monkeypatch.setattr("gateway.outlet.DRAIN_S", 0.1)
    outlet, transport = outlet_on(pair[0])
    outlet.write(b"nobody reads this")
    outlet.loseConnection()
    assert not transport.disconnected
    await asyncio.to_thread(wait_until, lambda: transport.disconnected)


def framed(payload):
    return Frame(payload, wire=b"\x81" + bytes([len(payload)]) + payload)


def test_a_framed_message_is_written_as_it_is_and_one_that_waits_is_not_overtaken(pair):
    ours, theirs = pair
    outlet, transport = outlet_on(ours)
    assert not outlet.offer(framed(b"early"))
    outlet.drained()
    assert outlet.offer(framed(b"one"))
    assert theirs.recv(100) == b"\x81\x03one"
    big = b"x" * 3_000_000
    assert outlet.offer(Frame(b"", wire=big))
    assert not outlet.empty
    assert not outlet.offer(framed(b"two"))
    got = b""
    while not outlet.empty:
        got += transport.drain(theirs)
    assert outlet.offer(framed(b"two"))
    ours.close()
    while part := theirs.recv(1 << 20):
        got += part
    assert got == big + b"\x81\x03two"


def test_a_message_that_is_not_framed_yet_is_the_protocols(pair):
    taken = []

    def offer(frame):
        taken.append(frame)
        return True

    outlet, _ = outlet_on(pair[0], offer)
    outlet.drained()
    frame = Frame(b"text")
    assert outlet.offer(frame)
    assert taken == [frame]


@pytest.mark.parametrize("close", ["loseConnection", "abortConnection"])
async def test_nothing_is_taken_once_the_connection_is_being_closed(pair, close):
    ours, theirs = pair
    outlet, _ = outlet_on(ours)
    outlet.drained()
    getattr(outlet, close)()
    assert not outlet.offer(framed(b"late"))
    ours.close()
    assert theirs.recv(100) == b""
