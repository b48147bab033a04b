"""One client's queue: order, bounds, conflation, and the end of a client that stays slow."""

from __future__ import annotations

import json

from gateway.config import FeedConfig
from gateway.feed_frames import Close, real
from gateway.feed_queue import CONTROL_RESERVE, ClientQueue, chunks

CONFIG = FeedConfig(queue_frames=4, queue_bytes=10_000, slow_after=5.0)


def row(item, price):
    return b'{"values":{"10":"%d"},"type":"0B","name":"n","item":"%s"}' % (price, item.encode())


def offer(queue, item, price, now=0.0):
    rows = [(f"0B:{item}", row(item, price))]
    queue.rows(real(part for _, part in rows), rows, now)


def drain(queue):
    frames = []
    while (frame := queue.take()) is not None:
        frames.append(json.loads(frame))
    return frames


def prices(frame):
    return {one["item"]: int(one["values"]["10"]) for one in frame["data"]}


class Sink:
    """A connection that takes ``room`` more frames."""

    def __init__(self, room):
        self.room = room
        self.got = []
        self.on_room = lambda: None

    def offer(self, frame):
        if not self.room:
            return False
        self.room -= 1
        self.got.append(json.loads(frame.payload))
        return True


def queue_of(config=CONFIG):
    return ClientQueue(config, lambda: None)


def test_frames_come_out_in_order_and_replies_keep_their_place():
    queue = queue_of()
    offer(queue, "A", 1)
    queue.control('{"trnm":"REG"}')
    offer(queue, "A", 2)
    assert [frame["trnm"] for frame in drain(queue)] == ["REAL", "REG", "REAL"]
    assert queue.rows_out == 2
    assert queue.size == 0


def test_over_the_limit_only_the_newest_row_of_each_topic_is_kept_and_the_loss_is_told():
    queue = queue_of()
    for price in range(1, 11):
        offer(queue, "A", price)
    offer(queue, "B", 7)
    assert queue.conflating
    frames = drain(queue)
    assert [prices(frame) for frame in frames[:4]] == [{"A": 1}, {"A": 2}, {"A": 3}, {"A": 4}]
    assert frames[4] == {"trnm": "SYSTEM", "code": "B1006", "message": "dropped", "dropped": 5}
    assert prices(frames[5]) == {"A": 10, "B": 7}
    assert len(frames) == 6
    assert not queue.conflating
    assert queue.dropped_total == 5


def test_a_frame_over_the_byte_limit_conflates_too():
    queue = queue_of(FeedConfig(queue_frames=1000, queue_bytes=200))
    for price in range(50):
        offer(queue, "A", price)
    assert queue.conflating
    assert queue.size < 400


def test_every_row_is_delivered_or_counted_as_dropped():
    queue = queue_of()
    got = 0
    for price in range(1000):
        offer(queue, "ABC"[price % 3], price)
        if price % 50 == 0:
            got += sum(len(frame["data"]) for frame in drain(queue) if frame["trnm"] == "REAL")
    got += sum(len(frame["data"]) for frame in drain(queue) if frame["trnm"] == "REAL")
    assert got + queue.dropped_total == 1000
    assert queue.rows_out == got


def test_a_client_over_the_limit_for_five_seconds_is_given_up():
    queue = queue_of()
    for price in range(6):
        offer(queue, "A", price, now=10.0)
    queue.check(14.9)
    assert queue.verdict is None
    queue.check(15.0)
    assert queue.verdict is not None
    assert queue.verdict.code is Close.TOO_SLOW
    assert queue.verdict.retry_after


def test_a_client_that_catches_up_is_kept():
    queue = queue_of()
    for price in range(6):
        offer(queue, "A", price, now=10.0)
    drain(queue)
    queue.check(99.0)
    assert queue.verdict is None


def test_a_client_that_asks_and_never_reads_is_given_up():
    queue = queue_of()
    for _ in range(CONFIG.queue_frames + CONTROL_RESERVE + 1):
        queue.control("{}")
    assert queue.verdict is not None
    assert len(queue) == CONFIG.queue_frames + CONTROL_RESERVE


def test_a_removed_topic_is_not_sent_from_the_conflated_rows():
    queue = queue_of()
    for price in range(6):
        offer(queue, "A", price)
    queue.forget(frozenset({"0B:A"}))
    assert not any("data" in frame for frame in drain(queue)[4:])


def test_large_snapshots_are_split_into_several_frames():
    parts = list(chunks((f"0D:{number}", b"x" * 4000) for number in range(100)))
    assert sum(len(part) for part in parts) == 100
    assert all(sum(len(row) for _, row in part) <= 64 * 1024 for part in parts)


def test_a_sink_with_room_gets_each_frame_at_once_and_nothing_waits():
    sink = Sink(room=1000)
    queue = ClientQueue(CONFIG, lambda: None, sink)
    for price in range(100):
        offer(queue, "A", price)
    queue.control('{"trnm":"PING"}')
    assert [prices(frame)["A"] for frame in sink.got[:100]] == list(range(100))
    assert sink.got[100] == {"trnm": "PING"}
    assert len(queue) == queue.size == 0
    assert queue.rows_out == 100


def test_what_a_full_sink_does_not_take_waits_and_keeps_its_place():
    sink = Sink(room=1)
    queue = ClientQueue(CONFIG, lambda: None, sink)
    offer(queue, "A", 1)
    offer(queue, "A", 2)
    assert queue.waiting_since is not None
    sink.room = 1  # room again, but the second frame may not be overtaken
    queue.control('{"trnm":"REG"}')
    assert len(sink.got) == 1
    queue.drain()
    assert len(sink.got) == 2
    sink.room = 10
    queue.drain()
    offer(queue, "A", 3)
    assert [frame["trnm"] for frame in sink.got] == ["REAL", "REAL", "REG", "REAL"]
    assert [prices(frame)["A"] for frame in sink.got if "data" in frame] == [1, 2, 3]
    assert queue.waiting_since is None


def test_a_sink_that_takes_nothing_is_bounded_conflated_and_given_up():
    sink = Sink(room=0)
    queue = ClientQueue(CONFIG, lambda: None, sink)
    for price in range(100):
        offer(queue, "A", price, now=price / 10)
    assert len(queue) == CONFIG.queue_frames
    assert queue.verdict is not None
    sink.room = 100
    queue.drain()
    assert [prices(frame)["A"] for frame in sink.got if "data" in frame] == [0, 1, 2, 3, 99]
    assert queue.dropped_total == 95
    assert not queue.conflating
