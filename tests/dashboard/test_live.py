"""``/live/``: who gets in, one computation for all, only what changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

import orjson
import pytest
import redis
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from gateway.status import FeedState
from portal.dashboard.live import BOARDS_MAX, Board, Boards, TooMany, Viewer
from tests.dashboard import world

ORIGIN = (b"origin", b"http://localhost")


def application() -> Any:
    return import_module("portal.asgi").application


@asynccontextmanager
async def connected(
    path: str, user: User | None = None, origin: bytes = b"http://localhost"
) -> AsyncIterator[WebsocketCommunicator]:
    headers = [(b"origin", origin), (b"host", b"localhost")]
    if user is not None:
        client = Client()
        await sync_to_async(client.force_login)(user)
        cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
        headers.append((b"cookie", f"{settings.SESSION_COOKIE_NAME}={cookie}".encode()))
    communicator = WebsocketCommunicator(application(), path, headers=headers)
    try:
        yield communicator
    finally:
        await communicator.disconnect()


async def close_code(path: str, user: User | None) -> int:
    async with connected(path, user) as socket:
        accepted, _protocol = await socket.connect()
        assert accepted
        message = await socket.receive_output(5)
        assert message["type"] == "websocket.close"
        return int(message["code"])


@pytest.mark.django_db(transaction=True)
async def test_strangers_and_people_without_a_role_are_closed_with_a_reason(
    redis_client: redis.Redis,
) -> None:
    bob = await sync_to_async(User.objects.create_user)("bob")

    assert await close_code("/live/?page=dashboard&lang=ko", None) == 4401
    assert await close_code("/live/?page=dashboard&lang=ko", bob) == 4403


@pytest.mark.django_db(transaction=True)
async def test_another_origin_is_refused(redis_client: redis.Redis) -> None:
    alice = await sync_to_async(world.person)("alice", "viewer")

    async with connected("/live/?page=dashboard", alice, b"https://evil.example") as socket:
        accepted, _code = await socket.connect()
        assert not accepted


@pytest.mark.django_db(transaction=True)
async def test_an_unknown_path_is_refused_without_an_error() -> None:
    async with connected("/nothing/here") as socket:
        accepted, _code = await socket.connect()
        assert not accepted


@pytest.mark.django_db(transaction=True)
async def test_a_viewer_gets_every_panel_and_then_only_what_changes(redis_client: redis.Redis) -> None:
    alice = await sync_to_async(world.person)("alice", "viewer")
    await sync_to_async(world.publish)(redis_client, FeedState.LIVE)

    async with connected("/live/?page=dashboard&lang=en", alice) as socket:
        await socket.connect()
        first = orjson.loads(await socket.receive_from(10))
        assert set(first["panels"]) == {
            *("overall", "services", "events", "incidents", "gateway", "prevention")
        }
        assert "no service has been measured yet" in first["panels"]["services"]

        await sync_to_async(world.service)("frontend", timezone.now())
        second = orjson.loads(await socket.receive_from(10))

    assert "frontend" in second["panels"]["services"]
    assert "prevention" not in second["panels"]


@pytest.mark.django_db(transaction=True)
async def test_each_language_is_served_its_own_panels(redis_client: redis.Redis) -> None:
    alice = await sync_to_async(world.person)("alice", "viewer")

    async with connected("/live/?page=checklist&lang=en", alice) as socket:
        await socket.connect()
        message = orjson.loads(await socket.receive_from(10))

    assert "No checklist item yet" in message["panels"]["checklist"]


def test_a_board_tells_only_what_changed() -> None:
    board = Board("dashboard", "ko")
    viewer = Viewer()
    board.viewers.add(viewer)

    board.publish({"a": "1", "b": "1"})
    board.publish({"a": "1", "b": "2"})

    assert viewer.panels == {"a": "1", "b": "2"}
    viewer.panels = {}
    board.publish({"a": "1", "b": "2"})
    assert viewer.panels == {}
    board.publish({"a": "3", "b": "2"})
    assert viewer.panels == {"a": "3"}


def test_an_unreadable_moment_keeps_the_last_panels() -> None:
    board = Board("dashboard", "ko")
    board.publish({"a": "1"})
    board.publish({})

    assert board.shown == {"a": "1"}


async def test_a_board_stops_when_its_last_viewer_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    boards = Boards()
    async with boards.watch("nothing", "ko"), boards.watch("nothing", "ko"):
        (task,) = (task for task in asyncio.all_tasks() if task.get_name() == "live nothing")

    assert task.cancelled() or task.done()


async def test_a_process_keeps_a_bounded_number_of_boards() -> None:
    boards = Boards()
    held = [boards.watch(f"nothing-{number}", "ko") for number in range(BOARDS_MAX)]
    for one in held:
        await one.__aenter__()
    try:
        with pytest.raises(TooMany):
            await boards.watch("one-more", "ko").__aenter__()
    finally:
        for one in held:
            await one.__aexit__(None, None, None)
