"""A hub with a clock and a loop turned by hand, and rows for it."""

from __future__ import annotations

import json
from collections.abc import Callable

from gateway.config import FeedConfig
from gateway.feed_queue import ClientQueue
from gateway.feed_registrations import Registrations, Rights
from gateway.hub import Client, Hub
from gateway.status import FeedState, GatewayStatus


class World:
    """A hub with a clock and a loop turned by hand."""

    def __init__(self, **config):
        self.now = 100.0
        self.wall = 1_795_400_000.0
        self.due: list[tuple[float, Callable[[], object]]] = []
        self.changes = 0
        self.hub = Hub(
            FeedConfig(**config),
            schedule=lambda delay, call: self.due.append((self.now + delay, call)),
            topics_changed=self.changed,
            clock=lambda: self.now,
            wall=lambda: self.wall,
        )
        self.hub.state.bus(True)
        self.status(FeedState.LIVE)

    def changed(self):
        self.changes += 1

    def status(self, feed, fence=1, **fields):
        self.hub.state.update(
            GatewayStatus(
                slot="key-1", at=self.wall, session="", feed=feed, since=self.wall, fence=fence, **fields
            ),
            self.now,
            self.wall,
        )

    def join(self, *topics, **fields):
        """Add a client that wants ``topics``; return it and the verdicts it is given."""
        verdicts: list[object] = []
        client = Client(
            queue=ClientQueue(FeedConfig(), lambda: None),
            on_verdict=verdicts.append,
            registrations=Registrations(Rights()),
            **fields,
        )
        self.hub.add(client)
        if topics:
            self.hub.set_topics(client, frozenset(topics))
        return client, verdicts

    def turn(self):
        """Let the loop turn: run what is due, moving the clock to it."""
        while self.due:
            at, call = self.due.pop(0)
            self.now = max(self.now, at)
            call()

    def frames(self, client):
        self.turn()
        frames = []
        while (frame := client.queue.take()) is not None:
            frames.append(json.loads(frame))
        return frames

    def prices(self, client):
        return [int(row["values"]["10"]) for frame in self.frames(client) for row in frame.get("data", [])]


def row(price, item="005930", kind="0B"):
    return json.dumps(
        {"values": {"10": str(price)}, "type": kind, "name": "n", "item": item}, separators=(",", ":")
    ).encode()
