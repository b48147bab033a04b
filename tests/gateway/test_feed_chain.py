"""Kiwoom's frames through codec, bus and hub to a client: equal JSON, in order for each topic."""

from __future__ import annotations

import asyncio
import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator

from gateway import bus, tickets
from gateway.consumer import FeedConsumer
from gateway.feed_service import existing_service
from gateway.lease import Lease
from gateway.protocol import Real, decode
from gateway.redis_client import connect
from tests.conditions import wait_until
from tests.gateway.feed_world import SLOT, Upstream

FRAMES = (Path(__file__).parents[1] / "data" / "kiwoom-frames.jsonl").read_text().splitlines()
#: Types whose rows carry another item than the one that was registered, which is none.
WITHOUT_ITEM = {"0s", "1h"}
pytestmark = pytest.mark.django_db(transaction=True)


def topic(row):
    return row["type"], "" if row["type"] in WITHOUT_ITEM else row["item"]


def by_topic(frames):
    """Return the rows of ``frames`` by topic, in order."""
    rows = defaultdict(list)
    for frame in frames:
        for row in frame["data"]:
            rows[topic(row)].append(row)
    return dict(rows)


async def test_recorded_frames_arrive_as_equal_json_in_order(redis_client):
    expected = by_topic(map(json.loads, FRAMES))
    socket = WebsocketCommunicator(FeedConsumer.as_asgi(), "/ws")
    socket.scope["client"] = ("203.0.113.9", 1234)
    assert (await socket.connect())[0]
    ticket = await asyncio.to_thread(tickets.issue, subject="user:1")
    await socket.send_to(text_data=json.dumps({"trnm": "LOGIN", "token": ticket}))
    data = [{"item": [item], "type": [kind]} for kind, item in expected]
    await socket.send_to(text_data=json.dumps({"trnm": "REG", "data": data}))
    for _ in range(2):
        assert json.loads(await socket.receive_from(timeout=3))["return_code"] == 0
    Upstream(redis_client).status()
    await asyncio.to_thread(
        wait_until, lambda: len(redis_client.pubsub_channels("gateway:rows:*")) == len(data)
    )

    client = connect(os.environ["REDIS_URL"])
    writer = bus.Bus(client)
    lease = Lease(client, SLOT, "writer", 60)
    assert await lease.acquire()
    for text in FRAMES:
        frame = decode(text)
        assert isinstance(frame, Real)
        assert frame.malformed == 0
        writer.publish(lease, frame.rows)
        await writer.flush()
    await client.aclose()

    total = sum(map(len, expected.values()))
    got: list[dict[str, Any]] = []
    while sum(len(frame["data"]) for frame in got) < total:
        frame = json.loads(await socket.receive_from(timeout=3))
        if frame["trnm"] == "REAL":
            got.append(frame)
    assert by_topic(got) == expected
    await socket.disconnect()
    if (service := existing_service()) is not None:
        await service.stop()
