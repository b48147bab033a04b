"""A gateway against the real simulator process and a real Valkey, with each of the simulator's faults."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace

import orjson
import pytest
from redis import Redis

from gateway import keys
from gateway.bus_inbox import Inbox
from gateway.redis_client import connect
from gateway.retry import RetryPolicy
from gateway.status import FeedState
from tests.gateway.upstream_world import RETRY, SLOT, TOPIC, Desk, Simulator, config_for, gateway
from tests.services import free_port, start_valkey, stop

POLICY = RetryPolicy(RETRY)


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    """The simulator's process, shared by the module."""
    simulator = Simulator(tmp_path_factory.mktemp("simulator"))
    simulator.start()
    yield simulator
    simulator.stop()


@pytest.fixture
def simulator(process):
    """The simulator without a fault."""
    process.switch("none")
    yield process
    process.switch("none")


@pytest.fixture
def desk(redis_client):
    """A wish for one topic, and what the gateway tells."""
    desk = Desk(redis_client)
    desk.want(TOPIC)
    return desk


async def test_a_gateway_logs_in_registers_and_delivers_rows_in_their_shape(simulator, desk):
    async with gateway(config_for(simulator)):
        status = await desk.session("LIVE")
        messages = await desk.rows(3)
        assert (status.feed, status.slot, status.mode) == (FeedState.LIVE, SLOT, "simulator")
    for message in messages:
        fence, _, rows = message.partition(b"|")
        assert int(fence) == status.fence
        for row in orjson.loads(b"[" + rows + b"]"):
            assert list(row) == ["values", "type", "name", "item"]
            assert (row["type"], row["item"]) == tuple(TOPIC.split(":"))
        assert rows.isascii()


async def test_the_end_of_a_gateway_closes_its_connection(simulator, desk):
    async with gateway(config_for(simulator)):
        await desk.session("LIVE")
        assert simulator.state()["open"] == 1
    await desk.until(lambda: simulator.state()["open"] == 0)
    assert desk.attempts()[-1].outcome == "stopped"
    status = desk.status()
    assert status is not None
    assert status.session == "IDLE"


async def test_a_gateway_told_to_stop_stops_whatever_it_is_writing(simulator, desk):
    simulator.switch("accept-then-close")
    for _ in range(5):
        async with gateway(config_for(simulator, retry=replace(RETRY, attempt_limit=4)), within=3.0):
            await desk.session("PARKED")
        assert desk.state() == "IDLE"


@pytest.mark.parametrize(
    ("fault", "outcome", "counter"),
    [
        ("refuse", "token", None),
        ("accept-then-close", "closed", "connections"),
        ("token-429", "token", None),
        ("login-reject-8005", "rejected", "connections"),
        ("oversized", "closed", "logins"),
    ],
)
async def test_attempts_stay_within_the_policy_until_parked_and_the_cure_brings_rows(
    simulator, desk, fault, outcome, counter
):
    simulator.switch(fault)
    before, began = simulator.state(), time.monotonic()
    async with gateway(config_for(simulator, retry=replace(RETRY, parked_probe=1.0))):
        status = await desk.session("PARKED")
        parked_after, after = time.monotonic() - began, simulator.state()
        ended = [attempt for attempt in desk.attempts() if attempt.outcome not in ("live", "connecting")]
        made = after[counter] - before[counter] if counter else len(ended)
        assert {attempt.outcome for attempt in ended} == {outcome}
        if fault != "login-reject-8005":  # a token is renewed once; then the key is wrong
            assert made == RETRY.attempt_limit
            assert "12 attempts in a row failed" in status.last_error
        assert 2 <= made <= POLICY.most_attempts(parked_after)
        assert (status.feed, status.breaker) == (FeedState.PARKED, "open")
        assert status.next_retry_s is not None
        simulator.switch("none")
        await desk.session("LIVE")
        assert await desk.rows(2)
        await desk.told(lambda status: status.attempts == 0, "failures are forgotten")


async def test_waits_between_attempts_grow_as_the_policy_says(simulator, desk):
    simulator.switch("accept-then-close")
    async with gateway(config_for(simulator)):
        await desk.session("PARKED")
    attempts = desk.attempts()
    assert attempts[0].delay_before == 0
    for number, attempt in enumerate(attempts[1 : RETRY.attempt_limit], 1):
        shortest, longest = POLICY.delay(number, 0.0), POLICY.delay(number, 0.9999)
        assert shortest - 0.001 <= attempt.delay_before <= longest + 0.001
        assert attempt.at - attempts[number - 1].at >= attempt.delay_before - 0.01


async def test_three_kicks_park_without_another_attempt_until_somebody_resumes(simulator, desk):
    simulator.switch("kick")
    before = simulator.state()["logins"]
    async with gateway(config_for(simulator)):
        status = await desk.session("PARKED")
        assert "same app key" in status.last_error
        assert status.next_retry_s is None
        assert simulator.state()["logins"] - before == RETRY.kick_limit
        simulator.switch("none")
        since = status.at
        await desk.told(lambda status: status.at > since + 2 * RETRY.parked_probe)
        assert simulator.state()["logins"] - before == RETRY.kick_limit
        desk.command("resume")
        await desk.session("LIVE")
        assert await desk.rows()


async def test_a_second_program_with_the_same_key_is_not_fought(simulator, desk, tmp_path):
    before, port = simulator.state()["logins"], free_port()
    elsewhere = start_valkey(tmp_path, port)  # the other program knows nothing of our lease
    try:
        async with gateway(config_for(simulator)):
            await desk.session("LIVE")
            async with gateway(config_for(simulator), f"redis://127.0.0.1:{port}/0"):
                with Redis(port=port) as client:
                    both = (desk, Desk(client))
                    await desk.until(lambda: "PARKED" in [one.state() for one in both], within=40)
                assert simulator.state()["logins"] - before <= 2 * RETRY.kick_limit
                await desk.until(lambda: simulator.state()["open"] == 1)
    finally:
        stop(elsewhere)


async def test_an_address_that_is_not_registered_parks_at_the_first_attempt(simulator, desk):
    simulator.switch("login-reject-8050")
    before = simulator.state()["connections"]
    async with gateway(config_for(simulator, retry=replace(RETRY, parked_probe=60.0))):
        status = await desk.session("PARKED")
        assert "8050" in status.last_error
        assert status.attempts_total == 1
        assert simulator.state()["connections"] == before
        desk.command("resume")
        await desk.told(lambda status: status.attempts_total == 2)


@pytest.mark.parametrize("fault", ["half-open", "mute"])
async def test_a_connection_that_says_nothing_is_given_up(simulator, desk, fault):
    kicks = simulator.state()["kicks"]
    async with gateway(config_for(simulator, silence_floor=1.0)):
        await desk.session("LIVE")
        await desk.rows()
        simulator.switch(fault)
        await desk.until(lambda: "silent" in [attempt.outcome for attempt in desk.attempts()])
        simulator.switch("none")
        await desk.session("LIVE")
        assert await desk.rows(2)
    assert simulator.state()["kicks"] == kicks  # the dead connection was closed before the next


async def test_rows_that_stop_are_told_as_stale_and_their_return_as_live(simulator, desk):
    async with gateway(config_for(simulator, stale_after=0.7)):
        await desk.session("LIVE")
        await desk.rows()
        simulator.switch("mute")
        assert (await desk.session("STALE")).feed is FeedState.STALE
        simulator.switch("none")
        await desk.session("LIVE")
        assert await desk.rows()


async def test_garbage_between_rows_costs_nothing(simulator, desk):
    simulator.switch("garbage")
    async with gateway(config_for(simulator)):
        await desk.session("LIVE")
        assert await desk.rows(20)
        status = desk.status()
        assert status is not None
        assert (status.attempts_total, status.session) == (1, "LIVE")


async def test_a_breaker_opened_by_hand_disconnects_and_closing_it_connects(simulator, desk):
    async with gateway(config_for(simulator)):
        await desk.session("LIVE")
        desk.command("open_breaker", "the exchange asked for it")
        status = await desk.session("PARKED")
        assert (status.breaker, status.breaker_manual) == ("open", True)
        assert status.last_error == "breaker opened by hand: the exchange asked for it (by somebody)"
        await desk.until(lambda: simulator.state()["open"] == 0)
        desk.command("close_breaker")
        await desk.session("LIVE")
        assert await desk.rows()


async def test_a_breaker_that_is_played_with_leaves_one_connection_and_no_work_behind(simulator, desk):
    seen: list[int] = []

    def look() -> list[int]:
        seen.append(simulator.state()["open"])
        return seen

    async with gateway(config_for(simulator)):
        await desk.session("LIVE")
        simulator.switch("half-open")  # the old connection takes its time to close
        for number in range(3):
            desk.command("open_breaker", f"try {number}")
            desk.command("close_breaker", f"try {number}")
        await desk.until(lambda: 0 in look(), "it let go")
        simulator.switch("none")
        await desk.until(lambda: look() and desk.state() == "LIVE", "live again")
        assert max(seen) == 1


async def test_a_breaker_opened_by_hand_stays_so_for_the_next_process(simulator, desk):
    desk.client.set(keys.HELD.format(slot=SLOT), "점검 (by minji)")
    async with gateway(config_for(simulator)):
        status = await desk.session("PARKED")
        assert (status.breaker_manual, desk.attempts()) == (True, [])
        assert "점검 (by minji)" in status.last_error
        desk.command("close_breaker")
        await desk.session("LIVE")


async def test_a_redis_that_lost_everything_learns_again_that_a_person_holds_the_breaker(simulator, desk):
    held = keys.HELD.format(slot=SLOT)
    async with gateway(config_for(simulator, lease_ttl=3.0, lease_renew=0.2)):
        await desk.session("LIVE")
        desk.command("open_breaker", "점검")
        await desk.session("PARKED")
        await desk.until(lambda: desk.client.get(held) == "점검 (by somebody)".encode())
        desk.client.flushdb()
        await desk.until(lambda: desk.client.get(held) == "점검 (by somebody)".encode())
        desk.command("close_breaker")
        await desk.session("LIVE")
        await desk.until(lambda: not desk.client.exists(held))
        assert not desk.client.exists(keys.COMMANDS.format(slot=SLOT))
        desk.client.flushdb()
        desk.client.set(held, "of an old snapshot")
        await desk.until(lambda: not desk.client.exists(held))
        await desk.session("LIVE")


async def test_a_command_stays_queued_until_it_was_carried_out(redis_client):
    queue, held = keys.COMMANDS.format(slot=SLOT), keys.HELD.format(slot=SLOT)
    desk = Desk(redis_client)
    desk.command("open_breaker")
    redis_client.lpush(queue, "not JSON")
    async with connect(os.environ["REDIS_URL"]) as client:
        inbox = Inbox(client)
        first = await inbox.commands(SLOT)
        assert [one.verb for one in first] == ["", "open_breaker"]
        assert await inbox.commands(SLOT) == first
        redis_client.rpush(queue, b'{"verb":"resume","reason":"pressed meanwhile"}')
        await inbox.done(SLOT, first, "why")
        assert [one.verb for one in await inbox.commands(SLOT)] == ["resume"]
        assert redis_client.get(held) == b"why"
        await inbox.done(SLOT, await inbox.commands(SLOT), "")
        assert redis_client.get(held) == b"why"  # resume says nothing of the breaker
        assert await inbox.commands(SLOT) == []


async def test_new_wishes_are_registered_and_lapsed_ones_removed(simulator, desk):
    async with gateway(config_for(simulator, linger=0.2)):
        await desk.session("LIVE")
        desk.want(TOPIC, "0D:000660", "0B:000660", process="another")
        await desk.told(lambda status: status.topics == 3)
        assert simulator.state()["items"] == 2
        desk.client.delete("gateway:wanted:another")
        await desk.told(lambda status: status.topics == 1)
        assert simulator.state()["items"] == 1


async def test_wishes_that_change_all_the_time_are_read_twenty_times_a_second_at_most(redis_client):
    async with connect(os.environ["REDIS_URL"]) as client:
        inbox, polls, seconds = Inbox(client), 0, 0.5
        listening = asyncio.create_task(inbox.listen())
        desk, until = Desk(redis_client), time.monotonic() + seconds
        await desk.until(lambda: redis_client.pubsub_numsub(keys.WANTED_CHANNEL)[0][1] == 1)
        while time.monotonic() < until:
            redis_client.publish(keys.WANTED_CHANNEL, b"")
            await inbox.next_poll()
            polls += 1
        listening.cancel()
        await asyncio.wait([listening])
        assert polls <= 20 * seconds + 1


async def test_more_items_than_the_connection_holds_are_told_and_the_rest_flows(simulator, desk):
    desk.want(*(f"0B:{number:06}" for number in range(230)), TOPIC)
    async with gateway(config_for(simulator, items_per_connection=250, reg_per_second=20.0)):
        await desk.session("LIVE")
        found = await desk.told(lambda status: status.unplaced == 31, within=30)
        assert found.topics == 200
        assert simulator.state()["items"] == 200
        assert found.attempts_total == 1


async def test_the_end_and_return_of_the_server_process_bring_rows_again(tmp_path, desk):
    simulator = Simulator(tmp_path)
    simulator.start()
    try:
        async with gateway(config_for(simulator, retry=replace(RETRY, attempt_limit=1000))):
            await desk.session("LIVE")
            assert await desk.rows()
            simulator.stop()
            await desk.session("BACKOFF")
            await desk.told(lambda status: status.breaker != "closed")
            simulator.start()
            await desk.session("LIVE")
            assert await desk.rows(2)
    finally:
        simulator.stop()
