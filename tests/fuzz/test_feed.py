"""``/ws`` of a real web process, fuzzed: bad clients are answered or closed, and nobody else notices."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from websockets.sync.client import ClientConnection, connect

from tests.conditions import wait_until
from tests.fuzz.effort import cases, effort
from tests.fuzz.frames import BINARY, HANDSHAKE, TEXT, Frame, heard, text
from tests.gateway.feed_world import Upstream, Web, reg, web_server

MIB = 1024 * 1024
#: Codes of docs/gateway.md, and those that come back to a client that closes with them; 1011 is none of both.
ECHOED = {1000, 1001, 1008, 1010, 1014}
CLOSES = {1002, 1003, 1007, 1009, 1012, 1013, 4401, 4403, 4408, 4429} | ECHOED
#: Bytes that the process may keep after everything; one bad client may hold 64 KiB, one message 16 KiB.
GROWTH = 48 * MIB
TOKEN = "<token>"  # stands for a real one, which no example may depend on

#: JSON of any shape, with words of the protocol in it.
WORDS = st.sampled_from(["LOGIN", "REG", "REMOVE", "PING", "CNSRREQ", "005930", "0B", "00", "1", "0", TOKEN])
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | WORDS
JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=6) | WORDS, inner, max_size=4)
    ),
    max_leaves=15,
)
ENTRY = st.fixed_dictionaries(
    {},
    optional={
        "item": st.lists(WORDS | LEAVES, max_size=4) | JSON,
        "type": st.lists(WORDS, max_size=3) | JSON,
    },
)
REQUEST = st.fixed_dictionaries(
    {"trnm": st.sampled_from(["LOGIN", "REG", "REMOVE", "PING", "SYSTEM", "CNSRLST"]) | JSON},
    optional={
        "token": st.just(TOKEN) | JSON,
        "grp_no": st.just("1") | JSON,
        "refresh": st.sampled_from(["0", "1"]) | JSON,
        "data": st.lists(ENTRY, max_size=4) | JSON,
        "status": JSON,
    },
)
MESSAGES = st.one_of(
    REQUEST.map(lambda one: json.dumps(one).encode()),
    JSON.map(lambda one: json.dumps(one).encode()),
    JSON.map(lambda one: json.dumps(one).encode()[:-1]),
    st.binary(max_size=200),
    st.text(max_size=80).map(lambda one: one.encode("utf-16", "surrogatepass")),
    st.sampled_from(
        [b"[" * 9000, b'{"trnm":"REG","data":' * 600, b"9" * 15_000, b'"' + b"\\u0000" * 2000 + b'"']
    ),
    st.integers(15_000, 70_000).map(lambda size: b'{"trnm":"' + b"x" * size + b'"}'),
)
FRAMES = st.builds(
    Frame,
    payload=MESSAGES,
    opcode=st.sampled_from([TEXT, TEXT, TEXT, BINARY]) | st.integers(0, 15),
    final=st.booleans() | st.just(True),
    reserved=st.just(0) | st.integers(0, 7),
    masked=st.just(True) | st.booleans(),
    length=st.none() | st.integers(0, 2**63),
    wide=st.booleans(),
).map(Frame.encode)


def fragmented(message: bytes, size: int, between: bytes) -> bytes:
    """Return a message in frames of ``size`` bytes with control frames between them."""
    parts = [message[at : at + size] for at in range(0, len(message), size)] or [b""]
    ping = Frame(payload=between[:125], opcode=9).encode()
    last = len(parts) - 1
    return ping.join(
        Frame(payload=part, opcode=0 if at else TEXT, final=at == last).encode()
        for at, part in enumerate(parts)
    )


STEPS = st.one_of(
    MESSAGES.map(lambda one: Frame(payload=one).encode()),
    FRAMES,
    st.builds(fragmented, MESSAGES, st.integers(1, 4000), st.binary(max_size=125)).filter(
        lambda one: len(one) < 400_000
    ),
    st.tuples(st.sampled_from([reg("005930"), "{}", '{"trnm":"PING"}', ""]), st.integers(50, 600)).map(
        lambda flood: Frame(payload=flood[0].encode()).encode() * flood[1]
    ),
    (st.integers(0, 1010) | st.integers(1012, 2000)).map(
        lambda code: Frame(payload=code.to_bytes(2, "big") + b"bye", opcode=8).encode()
    ),
    st.binary(max_size=300),
)


class Wire(bytes):
    """Bytes that show their beginning only; Hypothesis prints the blob that brings them back."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes: {self[:200]!r}>"


LOGIN = text({"trnm": "LOGIN", "token": TOKEN})
SEQUENCES = st.tuples(st.booleans(), st.lists(STEPS, min_size=1, max_size=6)).map(
    lambda drawn: Wire((LOGIN if drawn[0] else b"") + b"".join(drawn[1]))
)


class Neighbour:
    """A good client on the same process, and what the process is measured by."""

    def __init__(self, web: Web, upstream: Upstream, feed: ClientConnection, token: str) -> None:
        self.web, self.upstream, self.token = web, upstream, token
        self._feed = feed
        self._price = 60_000
        assert web.process is not None
        self.server = psutil.Process(web.process.pid)

    def hears(self) -> None:
        """Publish a row and wait until it arrives."""
        self._price += 1
        self.upstream.publish(self._price)
        deadline = time.monotonic() + 20
        while f'"-{self._price}"' not in (frame := str(self._feed.recv(timeout=20))):
            assert time.monotonic() < deadline, frame
            if '"PING"' in frame:
                self._feed.send(frame)

    def said(self) -> str:
        """What the process has complained of so far."""
        log = Path(self.web.folder / "serve.log").read_text(errors="replace")
        return "\n".join(line for line in log.splitlines() if "Traceback" in line or " ERROR " in line)


@pytest.fixture(scope="module")
def neighbour(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neighbour]:
    """A web process that has served one of everything already."""
    with web_server(tmp_path_factory.mktemp("web"), FEED_CONNECT_RATE="10000") as web:
        client = redis.Redis.from_url(web.redis_url)
        upstream = Upstream(client)
        upstream.status(ttl=3600)
        token = web.token(web.feed_key("alice"))
        with connect(web.ws, proxy=None, ping_interval=None) as feed:
            feed.send(json.dumps({"trnm": "LOGIN", "token": token}))
            feed.send(reg("005930"))
            while '"REG"' not in str(feed.recv(timeout=20)):
                pass
            wait_until(lambda: upstream.publish(1) == 1, 20, "the process listens")
            yield Neighbour(web, upstream, feed, token)
        client.close()


def talk(port: int, opening: bytes, sent: bytes) -> bytes:
    """Send everything, leave, and return all that the server sent until it closed."""
    received = bytearray()
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
        with suppress(OSError):  # it may close while we still send
            sock.sendall(opening)
            if opening is HANDSHAKE:
                while b"\r\n\r\n" not in received:
                    received += sock.recv(65536) or b"\r\n\r\n"
            sock.sendall(sent)
            sock.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while data := sock.recv(65536):
                received += data
    return bytes(received)


def test_bad_clients_are_answered_or_closed_and_nobody_else_notices(neighbour: Neighbour) -> None:
    before, open_before = neighbour.server.memory_info().rss, neighbour.server.num_fds()
    real = neighbour.token.encode()

    @given(SEQUENCES)
    @effort(100)
    def tried(sequence: bytes) -> None:
        cases["feed"] += 1
        # The token is as long as what stands for it is repeated: lengths of frames stay right.
        sent = sequence.replace(LOGIN, text({"trnm": "LOGIN", "token": real.decode()}))
        head, _, rest = talk(neighbour.web.port, HANDSHAKE, sent).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head
        server = heard(rest)
        for message in server.messages:
            frame = json.loads(message)
            assert frame["trnm"] in ("REAL", "SYSTEM", "PING") or isinstance(frame["return_code"], int), frame
        assert server.close is None or server.close in CLOSES, server
        neighbour.hears()
        assert not neighbour.said()

    tried()
    wait_until(lambda: neighbour.server.num_fds() <= open_before + 2, 30, "every connection is given back")
    assert neighbour.server.memory_info().rss - before < GROWTH


HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            ["Host", "Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Cookie",
             "Origin", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Content-Length"]
        )
        | st.text(min_size=1, max_size=12),
        st.sampled_from(["websocket", "Upgrade", "13", "-1", "9" * 11, "permessage-deflate", "x" * 9000])
        | st.text(max_size=40),
    ),
    max_size=8,
)  # fmt: skip
TARGETS = st.sampled_from(
    ["/ws", "/ws?a=%00", "/ws%2e", "//ws", "/ws/../health", "*", "http://x/ws", "/w%ff"]
)


@st.composite
def openings(draw: st.DrawFn) -> bytes:
    """Return a handshake with something wrong: other headers, doubled ones, another target or version."""
    method = draw(st.sampled_from(["GET", "POST", "HEAD", "CONNECT", "G\0T"]))
    version = draw(st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/2.0", ""]))
    good = HANDSHAKE.split(b"\r\n")[1:-2]
    kept = [line for line in good if draw(st.booleans())]
    lines = [f"{name}: {value}".encode("utf-8", "surrogatepass") for name, value in draw(HEADERS)]
    target = draw(TARGETS | st.text(max_size=30))
    start = f"{method} {target} {version}".encode("utf-8", "surrogatepass")
    return Wire(b"\r\n".join([start, *kept, *lines, b"", b""]))


def test_bad_handshakes_are_refused_and_nobody_else_notices(neighbour: Neighbour) -> None:
    @given(openings(), st.binary(max_size=200))
    @effort(80)
    def tried(opening: bytes, rest: bytes) -> None:
        cases["handshake"] += 1
        answer = talk(neighbour.web.port, opening, rest)
        status = answer.partition(b"\r\n")[0].split(b" ")[1:2]
        assert not status or not status[0].startswith(b"5"), answer[:300]
        neighbour.hears()
        assert not neighbour.said()

    tried()
