"""Which connections move when a web process is added, and that they stop moving."""

from __future__ import annotations

import asyncio
import json

import pytest

from gateway import feed_service, keys
from gateway.balance import SLACK, Balance
from gateway.feed_service import existing_service
from tests.gateway.test_consumer import Client, limits, service
from tests.upgrade.fleet import until

__all__ = ["limits", "service"]
CLIENTS = 45


def told(*looks: tuple[int, dict[str, int]], most: int = 1000) -> list[int]:
    """Return how many move at each of the looks."""
    balance = Balance()
    return [balance.to_move(own, others, most) for own, others in looks]


def test_nobody_moves_while_no_process_is_added() -> None:
    assert told((900, {}), (900, {}), (900, {})) == [0, 0, 0]
    assert told((900, {"b": 100}), (900, {"b": 100})) == [0, 0]


def test_what_is_above_the_share_moves_to_a_process_that_is_added() -> None:
    assert told((900, {}), (900, {"b": 0})) == [0, 450]


def test_a_process_that_is_added_sends_nobody_away() -> None:
    assert told((0, {"a": 900}), (50, {"a": 850})) == [0, 0]


def test_little_more_than_the_share_stays() -> None:
    assert told((100, {}), (100, {"b": 100 - 2 * SLACK})) == [0, 0]
    assert told((1000, {}), (1000, {"b": 850})) == [0, 0]


def test_only_so_many_move_at_once() -> None:
    assert told((900, {}), (900, {"b": 0}), (900, {"b": 0}), most=50) == [0, 50, 50]


def test_a_proxy_that_sends_everybody_back_is_given_up() -> None:
    moves = told((900, {}), *[(900, {"b": 0})] * 20, most=100)
    assert sum(moves) == 900
    assert moves[-1] == 0


def test_once_even_it_stays_so_until_another_process_is_added() -> None:
    looks = [(900, {}), (900, {"b": 0}), (460, {"b": 440}), (700, {"b": 200}), (700, {"b": 200, "c": 0})]
    assert told(*looks) == [0, 450, 0, 0, 400]


@pytest.mark.parametrize("processes", [2, 3, 6])
def test_a_proxy_that_takes_turns_makes_it_even(processes: int) -> None:
    balance = Balance()
    counts = [2000, *[0] * (processes - 1)]
    turn = 0
    balance.to_move(counts[0], {}, 250)
    for _ in range(60):
        others = {str(number): count for number, count in enumerate(counts[1:])}
        moving = balance.to_move(counts[0], others, 250)
        counts[0] -= moving
        for _ in range(moving):
            turn = (turn + 1) % processes
            counts[turn] += 1
    share = 2000 / processes
    assert all(abs(count - share) <= 0.15 * share for count in counts)


@pytest.mark.django_db(transaction=True)
async def test_connections_are_told_to_come_back_at_once_and_the_others_stay(
    service, limits, monkeypatch, redis_client
):
    monkeypatch.setattr(feed_service, "BALANCE_EVERY", 0.05)
    limits(rebalance_rate=1000.0)
    clients = [await Client(f"203.0.113.{number}").open() for number in range(CLIENTS)]
    for number, client in enumerate(clients):
        assert (await client.login(f"user:{number // 3}"))["return_code"] == 0
    running = existing_service()
    assert running is not None
    await until(lambda: running.balance.looked, "it knows who is there", 10)
    status = {"process": "added", "connections": 1}
    await asyncio.to_thread(redis_client.set, keys.FEED.format(process="added"), json.dumps(status))
    await until(lambda: len(running.hub.clients) <= (CLIENTS + 1) // 2, "the others are gone", 10)
    gone = [client for client in clients if not await stays(client)]
    assert len(gone) == CLIENTS - (CLIENTS + 1) // 2
    for client in gone:
        code, reason = await client.closed()
        assert code == 1012
        assert 1 <= reason["retry_after"] <= 1.5


async def stays(client) -> bool:
    """Whether a client was sent nothing but PINGs."""
    return bool(await client.socket.receive_nothing(0.01))
