"""The consumer by itself, without a server: limits, time limits, and that everything is given back."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from channels.testing import WebsocketCommunicator

from gateway import auth, keys, tickets
from gateway.consumer import FeedConsumer
from gateway.feed_service import existing_service, feed_service
from gateway.models import FeedKey
from gateway.status import Gap
from tests.conditions import wait_until
from tests.gateway.feed_world import Upstream, reg

APP = FeedConsumer.as_asgi()
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def service(redis_client, settings):
    """Stop the loop's service after the test; settings may be changed before the first connection."""
    yield feed_service
    if (running := existing_service()) is not None:
        await running.stop()


@pytest.fixture
def limits(settings):
    """Change limits of the feed before it starts."""

    def change(**values):
        settings.GATEWAY_FEED = replace(settings.GATEWAY_FEED, **values)

    return change


class Client:
    """A connection to the bare consumer."""

    def __init__(self, address="203.0.113.9", **headers):
        self.socket = WebsocketCommunicator(APP, "/ws")
        scope = self.socket.scope
        scope["client"] = (address, 1234)
        scope["headers"] = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def open(self):
        assert (await self.socket.connect())[0]
        return self

    async def send(self, frame):
        await self.socket.send_to(text_data=frame if isinstance(frame, str) else json.dumps(frame))

    async def receive(self):
        return json.loads(await self.socket.receive_from(timeout=3))

    async def login(self, subject="user:1", **fields):
        ticket = await asyncio.to_thread(tickets.issue, subject=subject)
        await self.send({"trnm": "LOGIN", "token": ticket, **fields})
        return await self.receive()

    async def closed(self):
        """Return the close code and reason."""
        while (event := await self.socket.receive_output(timeout=3))["type"] != "websocket.close":
            pass
        await self.socket.disconnect()
        return event["code"], json.loads(event["reason"])


async def test_a_ticket_logs_in_once(service):
    ticket = await asyncio.to_thread(tickets.issue, subject="user:1")
    first, second = await Client().open(), await Client().open()
    for client, code in ((first, 0), (second, 805004)):
        await client.send({"trnm": "LOGIN", "token": ticket})
        assert (await client.receive())["return_code"] == code
    assert (await second.closed())[0] == 4401
    await first.socket.disconnect()


async def test_without_login_the_connection_ends(service, limits):
    limits(login_timeout=0.1)
    client = await Client().open()
    code, reason = await client.closed()
    assert code == 4401
    assert "LOGIN" in reason["reason"]


async def test_ping_comes_only_after_login(service, limits):
    limits(ping_interval=0.2)
    waiting, member = await Client().open(), await Client().open()
    await member.login()
    assert await member.receive() == {"trnm": "PING"}
    assert await waiting.socket.receive_nothing(0.6)
    for client in (waiting, member):
        await client.socket.disconnect()


async def test_the_limit_of_an_address_sees_through_a_trusted_proxy_only(service, limits, settings):
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]
    limits(max_connections_per_address=1)
    first = await Client("10.0.0.1", **{"x-forwarded-for": "198.51.100.1"}).open()
    other = await Client("10.0.0.1", **{"x-forwarded-for": "198.51.100.2"}).open()
    again = await Client("10.0.0.1", **{"x-forwarded-for": "198.51.100.1"}).open()
    code, reason = await again.closed()
    assert code == 4429
    assert reason["retry_after"] > 0
    direct = await Client("203.0.113.9", **{"x-forwarded-for": "198.51.100.3"}).open()
    liar = await Client("203.0.113.9", **{"x-forwarded-for": "198.51.100.4"}).open()
    assert (await liar.closed())[0] == 4429
    for client in (first, other, direct):
        await client.socket.disconnect()


async def test_a_full_process_says_try_later(service, limits):
    limits(max_connections=1)
    first, second = await Client().open(), await Client("198.51.100.7").open()
    assert (await second.closed())[0] == 1013
    await first.socket.disconnect()
    third = await Client().open()
    assert (await third.login())["return_code"] == 0
    await third.socket.disconnect()


async def test_a_persons_connection_ends_so_that_the_account_is_looked_at_again(service):
    client = await Client().open()
    await client.login("user:1")
    (held,) = service().hub.clients
    assert 0 < held.expires - time.time() <= auth.PERSON_LIFETIME
    held.expires = 1.0
    assert (await client.closed())[0] == 4401


async def test_a_person_has_the_same_limit_as_a_key(service, limits):
    limits(max_connections_per_key=1)
    first, second = await Client().open(), await Client().open()
    await first.login()
    ticket = await asyncio.to_thread(tickets.issue, subject="user:1")
    await second.send({"trnm": "LOGIN", "token": ticket})
    assert (await second.closed())[0] == 4429
    await first.socket.disconnect()


async def test_frames_before_the_login_are_held_and_too_many_are_refused(service):
    client = await Client().open()
    for _ in range(65):
        await client.send(reg("005930"))
    assert (await client.receive())["return_code"] == 100013
    assert (await client.login())["trnm"] == "LOGIN"
    answers = [await client.receive() for _ in range(64)]
    assert sum(answer["trnm"] == "REG" for answer in answers) >= 63
    await client.socket.disconnect()


async def test_a_second_login_is_answered_and_changes_nothing(service):
    client = await Client().open()
    await client.login()
    assert (await client.login())["return_code"] == 0
    assert len(service().hub.clients) == 1
    await client.socket.disconnect()


@pytest.mark.parametrize("how", ["disconnect", "cancel"])
async def test_everything_is_given_back_however_the_connection_ends(service, how):
    client = await Client().open()
    await client.login()
    await client.send(reg("005930"))
    await client.receive()
    hub = service().hub
    assert hub.topics == {"0B:005930"}
    if how == "disconnect":
        await client.socket.disconnect()
    else:
        client.socket.future.cancel()
        await asyncio.wait([client.socket.future])
    assert hub.clients == set()
    assert hub.topics == frozenset()
    again = [await Client().open() for _ in range(5)]
    for one in again:
        assert (await one.login())["return_code"] == 0
        await one.socket.disconnect()


async def test_codes_that_clients_invent_are_counted_as_one(service):
    for code in (1000, 4401, 1012, 3000, 4999):
        client = await Client().open()
        await client.login()
        await client.socket.disconnect(code=code)
    assert feed_service().hub.closes == {"1000": 1, "other": 4}


async def test_a_draining_process_takes_nobody_in(service):
    member = await Client().open()
    await member.login()
    assert await service().drain() == 1
    code, reason = await member.closed()
    assert code == 1012
    assert reason["retry_after"] >= 1
    late = await Client().open()
    assert (await late.closed())[0] == 1012


async def test_a_draining_process_sends_those_away_who_have_not_logged_in(service):
    waiting = await Client().open()
    assert await service().drain() == 1
    code, reason = await waiting.closed()
    assert code == 1012
    assert reason["retry_after"] >= 1


async def test_a_login_that_is_not_checked_in_time_may_come_back_and_takes_nobody_in(
    service, limits, redis_client
):
    limits(login_timeout=0.3)
    ticket = await asyncio.to_thread(tickets.issue, subject="user:1")
    client = await Client().open()
    await asyncio.to_thread(wait_until, lambda: redis_client.pubsub_numsub("gateway:status")[0][1] > 0)
    redis_client.execute_command("CLIENT", "PAUSE", "1000", "ALL")
    await client.send({"trnm": "LOGIN", "token": ticket})
    assert (await client.socket.receive_output(timeout=3))["code"] == 1013
    await asyncio.to_thread(redis_client.ping)
    assert await client.socket.receive_nothing(0.5)
    assert service().hub.clients == set()
    await client.socket.disconnect()


@pytest.fixture
def alice():
    """A feed key."""
    key = FeedKey(name="alice")
    key.make_secret()
    key.save()
    return key


async def test_a_redis_that_comes_back_empty_ends_no_connection(service, redis_client, alice):
    token = await asyncio.to_thread(auth.issue, redis_client, alice, 3600.0)
    client = await Client().open()
    await client.send({"trnm": "LOGIN", "token": token.value})
    assert (await client.receive())["return_code"] == 0
    redis_client.delete(*redis_client.keys("gateway:token*"))
    await asyncio.to_thread(wait_until, lambda: redis_client.publish("gateway:keys", alice.pk) > 0)
    assert await client.socket.receive_nothing(0.5)
    again = await asyncio.to_thread(auth.issue, redis_client, alice, 3600.0)
    assert await asyncio.to_thread(auth.revoke_token, redis_client, alice, again.value)
    assert await client.socket.receive_nothing(0.5)
    await client.socket.disconnect()


async def test_a_revoked_token_ends_its_connection_and_logs_nobody_in(service, redis_client, alice):
    token = await asyncio.to_thread(auth.issue, redis_client, alice, 3600.0)
    client = await Client().open()
    await client.send({"trnm": "LOGIN", "token": token.value})
    assert (await client.receive())["return_code"] == 0
    await asyncio.to_thread(wait_until, lambda: redis_client.pubsub_numsub("gateway:keys")[0][1] > 0)
    assert await asyncio.to_thread(auth.revoke_token, redis_client, alice, token.value)
    assert (await client.closed())[0] == 4401
    assert not await asyncio.to_thread(auth.revoke_token, redis_client, alice, token.value)
    late = await Client().open()
    await late.send({"trnm": "LOGIN", "token": token.value})
    assert (await late.receive())["return_code"] == 805004
    fresh = await asyncio.to_thread(auth.issue, redis_client, alice, 3600.0)
    assert fresh.value != token.value


async def test_the_feed_ends_when_told_to_although_its_redis_goes_away_at_that_moment(service, redis_client):
    client = await Client().open()
    await client.login()
    for turns in range(40):
        running = service()
        await asyncio.to_thread(wait_until, lambda: redis_client.pubsub_numsub("gateway:status")[0][1] > 0)
        redis_client.client_kill_filter(_type="pubsub")
        for _ in range(turns):  # the cancellation has to meet the error somewhere on its way up
            await asyncio.sleep(0)
        await running.stop()
        assert not running.running
    await client.socket.disconnect()


async def test_the_last_value_comes_after_the_reply_and_before_new_rows(service, redis_client):
    upstream = Upstream(redis_client)
    upstream.last(61100)
    upstream.status()
    client = await Client().open()
    await client.login()
    await client.send(reg("005930"))
    assert (await client.receive())["trnm"] == "REG"
    frame = await client.receive()
    if frame["trnm"] == "SYSTEM":
        frame = await client.receive()
    assert frame["data"][0]["values"]["10"] == "-61100"
    await client.socket.disconnect()


async def test_a_topic_removed_and_registered_again_at_once_brings_its_last_value_again(
    service, redis_client
):
    upstream = Upstream(redis_client)
    upstream.last(61100)
    upstream.status()
    client = await Client().open()
    await client.login()
    await client.send(reg("005930"))
    for other in ("000660", "035420", "035720"):
        while (frame := await client.receive())["trnm"] != "REAL":
            pass
        assert [row["item"] for row in frame["data"]] == ["005930"]
        for text in (reg(other), reg("005930", trnm="REMOVE"), reg("005930")):
            client.socket.input_queue.put_nowait({"type": "websocket.receive", "text": text})
    await client.socket.disconnect()


async def test_gaps_that_began_together_are_all_told_and_each_once(service, redis_client):
    client = await Client().open()
    await client.login()
    await client.send(reg("005930", "000660"))
    assert (await client.receive())["trnm"] == "REG"
    upstream = Upstream(redis_client)
    await asyncio.to_thread(wait_until, lambda: upstream.publish(1) > 0)
    # Items that left one slot in two steps: the slot that took them was told the same beginning twice.
    began = [
        Gap(slot="key-1", since=1.0, until=2.0, topics=(f"0B:{item}",), count=1, reason="owner")
        for item in ("005930", "000660")
    ]
    for gap in (*began, began[0]):
        redis_client.publish(keys.GAPS_CHANNEL, gap.encode())
    upstream.publish(2)
    told: list[str] = []
    seen: list[str] = []
    while "-2" not in seen:
        frame = await client.receive()
        told += frame["topics"] if frame.get("code") == "B1008" else []
        seen += [row["values"]["10"] for row in frame.get("data", [])]
    assert told == ["0B:005930", "0B:000660"]
    await client.socket.disconnect()


async def test_a_process_that_alone_lost_its_subscription_tells_its_clients(service, redis_client):
    upstream = Upstream(redis_client)
    upstream.status()
    client = await Client().open()
    await client.login()
    await client.send(reg("005930", "000660"))
    await asyncio.to_thread(wait_until, lambda: upstream.publish(1) > 0)
    while (await client.receive())["trnm"] != "REAL":
        pass
    began = datetime.now(UTC)
    redis_client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    while (frame := await client.receive()).get("code") != "B1008":
        pass
    assert (frame["topics"], frame["reason"]) == (["0B:000660", "0B:005930"], "redis")
    since, until = (datetime.fromisoformat(frame[name]) for name in ("from", "to"))
    assert began - timedelta(seconds=5) <= since <= until <= datetime.now(UTC)
    await client.socket.disconnect()


async def test_unreadable_words_on_the_bus_hurt_nobody(service, redis_client):
    client = await Client().open()
    await client.login()
    await client.send(reg("005930"))
    await client.receive()
    upstream = Upstream(redis_client)
    await asyncio.to_thread(wait_until, lambda: upstream.publish(1) > 0)
    redis_client.publish("gateway:rows:0B:005930", b"nonsense")
    redis_client.publish("gateway:status", b"nonsense")
    redis_client.publish("gateway:keys", b"nonsense")
    upstream.publish(2)
    seen = []
    while "-2" not in seen:
        frame = await client.receive()
        seen += [row["values"]["10"] for row in frame.get("data", [])]
    assert len(service().hub.clients) == 1
    await client.socket.disconnect()
