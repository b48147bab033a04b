"""The generator against a small server of our own, which can lose, repeat and cut what it passes on."""

import asyncio
import shutil
import threading
from contextlib import contextmanager

import pytest

from bench import payload
from bench.load import Endpoint, Load, Publisher, build
from bench.processes import BenchError
from tests.conditions import wait_until
from tests.require import require

REPLY = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
READY = b"\x81\x05ready"
PING = b"\x89\x02hi"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Compile the generator."""
    require(shutil.which("cc") or shutil.which("gcc"), "C compiler")
    return build(tmp_path_factory.mktemp("generator"))


def frame(data):
    """Return a server's text frame."""
    assert len(data) < 65536
    head = bytes([0x81, len(data)]) if len(data) < 126 else b"\x81\x7e" + len(data).to_bytes(2, "big")
    return head + data


@contextmanager
def aborting(writer):
    """End the connection with the block."""
    try:
        yield
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()


class Broadcaster:
    """Sends each row to each client, as the frames that ``change(number, row)`` returns."""

    def __init__(self, change):
        self.change = change
        self.clients = []
        self.pongs = 0
        self.rows = 0
        self.ports = (0, 0)

    async def client(self, reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(REPLY + READY + PING)
        self.clients.append(writer)
        with aborting(writer):
            while data := await reader.read(4096):
                self.pongs += data.count(b"\x8a\x82\0\0\0\0hi")

    async def feed(self, reader, writer):
        with aborting(writer):
            while line := await reader.readline():
                row = line.rstrip(b"\n").partition(b" ")[2]
                self.rows += 1
                frames = self.change(self.rows, row)
                for client in self.clients:
                    client.writelines(frames)

    async def run(self, started):
        self.loop, self.stop = asyncio.get_running_loop(), asyncio.Event()
        servers = [
            await asyncio.start_server(handler, "127.0.0.1", 0, limit=2**20)
            for handler in (self.client, self.feed)
        ]
        self.ports = tuple(server.sockets[0].getsockname()[1] for server in servers)
        started.set()
        await self.stop.wait()
        for server in servers:
            server.close()


@contextmanager
def load_of(program, folder, change, *, clients=3, topics=1, path="/"):
    """Run a broadcaster and the generator with clients of it."""
    server, started = Broadcaster(change), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(server.run(started)))
    thread.start()
    assert started.wait(10)
    endpoint = Endpoint(
        port=server.ports[0],
        path=path,
        hello=b"",
        ready="ready",
        publisher=Publisher(kind="lines", port=server.ports[1]),
        rows=payload.rows(topics),
        pids=[threading.get_native_id()],
    )
    try:
        with Load(program, endpoint, clients, core=0, folder=folder) as load:
            yield load, server
    finally:
        server.loop.call_soon_threadsafe(server.stop.set)
        thread.join(10)


def test_every_row_that_arrives_is_counted(program, tmp_path):
    with load_of(program, tmp_path, lambda number, row: [frame(row)], topics=3) as (load, server):
        sample = load.paced(1000, warm_up=0.0, seconds=0.5)

        assert server.rows == sample.published > 300
    assert (sample.lost, sample.wrong, sample.dead) == (0, 0, 0)
    assert 0 < sample.delivered <= 3 * sample.published
    assert sample.rows_per_frame == 1
    assert 0 < sample.p50 <= sample.p99 <= sample.p999 <= sample.worst + 1


@pytest.mark.parametrize("cut", [1, 20, 60, 90, 120, 300, 549])
def test_rows_are_found_wherever_frames_cut_them(program, tmp_path, cut):
    def change(number, row):
        return [frame(row[:cut]), frame(row[cut:] + b",")]

    with load_of(program, tmp_path, change) as (load, _):
        sample = load.paced(1000, warm_up=0.0, seconds=0.3)

    assert (sample.lost, sample.wrong) == (0, 0)
    assert sample.delivered > 0


def test_rows_that_share_a_frame_are_counted_one_by_one(program, tmp_path):
    held = []

    def change(number, row):
        held.append(row)
        if len(held) < 5:
            return []
        rows, held[:] = b",".join(held), []
        return [frame(b'{"data":[' + rows + b'],"trnm":"REAL"}')]

    with load_of(program, tmp_path, change, clients=1) as (load, _):
        sample = load.paced(1000, warm_up=0.0, seconds=0.5)

    assert sample.rows_per_frame == pytest.approx(5, rel=0.2)
    assert sample.lost < 5


def test_lost_rows_are_told(program, tmp_path):
    with load_of(program, tmp_path, lambda number, row: [frame(row)] if number % 10 else []) as (
        load,
        server,
    ):
        sample = load.paced(1000, warm_up=0.0, seconds=0.3)

        assert sample.lost == 3 * (server.rows // 10)
    assert sample.wrong == 0


def test_a_repeated_row_does_not_make_up_for_a_lost_one(program, tmp_path):
    earlier = []

    def change(number, row):
        earlier.append(row)
        return [frame(earlier[-2] if len(earlier) == 50 else row)]

    with load_of(program, tmp_path, change, clients=1) as (load, _):
        sample = load.paced(1000, warm_up=0.0, seconds=0.3)

    assert (sample.lost, sample.wrong) == (0, 1)


def test_pings_are_answered_while_nothing_is_measured(program, tmp_path):
    with load_of(program, tmp_path, lambda number, row: [frame(row)]) as (_, server):
        wait_until(lambda: server.pongs == 3, 5, "each client has answered")
        for writer in server.clients:
            server.loop.call_soon_threadsafe(writer.write, PING)

        wait_until(lambda: server.pongs == 6, 5, "each client has answered again")


def test_saturation_keeps_a_window_of_rows_on_their_way(program, tmp_path):
    with load_of(program, tmp_path, lambda number, row: [frame(row)]) as (load, _):
        sample = load.saturate(50, warm_up=0.2, seconds=0.5)

    assert sample.delivered > 1000
    assert sample.lost == 0


def test_stopped_readers_are_left_out_and_their_close_code_is_told(program, tmp_path):
    with load_of(program, tmp_path, lambda number, row: [frame(row)]) as (load, server):
        load.stall(1)
        sample = load.paced(1000, warm_up=0.0, seconds=0.3)
        server.loop.call_soon_threadsafe(
            lambda: [writer.write(b"\x88\x02\x11\x38") for writer in server.clients]
        )
        server.loop.call_soon_threadsafe(lambda: [writer.close() for writer in server.clients])

        assert load.resume(5.0)["4408"] >= 1
    assert sample.lost == 0
    assert sample.delivered <= 2 * sample.published


def test_a_server_that_is_not_there_is_one_clear_line(program, tmp_path):
    endpoint = Endpoint(
        port=1, path="/", hello=b"", ready="", rows=payload.rows(1), pids=[],
        publisher=Publisher(kind="none", port=0),
    )  # fmt: skip

    with pytest.raises(BenchError, match="Connection refused"):
        Load(program, endpoint, 1, core=0, folder=tmp_path)
