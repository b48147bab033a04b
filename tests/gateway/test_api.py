"""Tickets and last prices over HTTP: who gets them, how many, and what odd input does."""

from __future__ import annotations

import json
import time

import orjson
import pytest
import redis
from django.conf import settings as project
from django.test import Client
from ninja.openapi.schema import OpenAPISchema

from gateway import auth, keys, tickets
from gateway.api import SYMBOLS_MAX
from gateway.feed_store import sync_client
from gateway.models import FeedKey, digest
from portal.api import api
from tests.dashboard import world
from tests.gateway.feed_world import row

pytestmark = pytest.mark.django_db
TICKETS, QUOTES = "/api/v1/feed/tickets", "/api/v1/quotes"


@pytest.fixture
def key(redis_client: redis.Redis) -> FeedKey:
    key = FeedKey(name="site")
    key.make_secret()
    key.save()
    return key


@pytest.fixture
def bearer(key: FeedKey) -> dict[str, str]:
    """Headers of the holder of a feed key."""
    token = auth.issue(sync_client(), key, 3600)
    return {"authorization": f"Bearer {token.value}"}


def subject_of(client: redis.Redis, ticket: str) -> str:
    """Return whom a ticket stands for, without using it up."""
    raw = client.get(keys.TICKET.format(digest=digest(ticket)))
    assert raw
    return str(orjson.loads(raw)["subject"])


def test_a_feed_key_gets_a_ticket_that_stands_for_it(
    client: Client, redis_client: redis.Redis, key: FeedKey, bearer: dict[str, str]
) -> None:
    answer = client.post(TICKETS, headers=bearer)

    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"ticket", "expires_in_s"}
    assert subject_of(redis_client, body["ticket"]) == f"key:{key.pk}"
    name = keys.TICKET.format(digest=digest(body["ticket"]))
    assert 0 < redis_client.ttl(name) <= body["expires_in_s"]
    assert body["ticket"] not in json.dumps([one.decode() for one in redis_client.scan_iter("*")])


def test_a_signed_in_person_needs_the_csrf_token(redis_client: redis.Redis) -> None:
    strict = Client(enforce_csrf_checks=True)
    alice = world.person("alice", "viewer")
    strict.force_login(alice)
    assert strict.post(TICKETS).status_code == 403

    strict.get("/feed/")
    token = strict.cookies[project.CSRF_COOKIE_NAME].value
    answer = strict.post(TICKETS, headers={"x-csrftoken": token})

    assert answer.status_code == 200
    assert subject_of(redis_client, answer.json()["ticket"]) == f"user:{alice.pk}"


def test_each_subject_has_a_quota_of_its_own(
    client: Client, redis_client: redis.Redis, bearer: dict[str, str]
) -> None:
    codes = [client.post(TICKETS, headers=bearer).status_code for _ in range(tickets.PER_MINUTE + 5)]

    assert codes == [200] * tickets.PER_MINUTE + [429] * 5
    client.force_login(world.person("alice", "viewer"))
    assert client.post(TICKETS).status_code == 200


def test_the_quota_comes_back_within_a_minute(
    client: Client, redis_client: redis.Redis, key: FeedKey, bearer: dict[str, str]
) -> None:
    counter = keys.COUNTER.format(what="tickets", who=f"key:{key.pk}")
    for _ in range(tickets.PER_MINUTE + 1):
        client.post(TICKETS, headers=bearer)

    assert 0 < redis_client.ttl(counter) <= 60


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic abc",
        "Bearer wrong",
        "Bearer " + "x" * 5000,
        "Bearer \x00",
        "Bearer 토큰",
    ],
)
@pytest.mark.parametrize(("method", "path"), [("post", TICKETS), ("get", f"{QUOTES}?symbols=005930")])
def test_strangers_get_nothing(
    client: Client, redis_client: redis.Redis, method: str, path: str, authorization: str
) -> None:
    headers = {"authorization": authorization} if authorization else {}

    assert getattr(client, method)(path, headers=headers).status_code == 401


def test_a_revoked_key_gets_nothing_at_once(
    client: Client, redis_client: redis.Redis, key: FeedKey, bearer: dict[str, str]
) -> None:
    auth.revoke_key(sync_client(), key)

    assert client.post(TICKETS, headers=bearer).status_code == 401
    assert client.get(f"{QUOTES}?symbols=005930", headers=bearer).status_code == 401


def test_tickets_are_made_by_post_only(client: Client, bearer: dict[str, str]) -> None:
    assert client.get(TICKETS, headers=bearer).status_code == 405


def test_last_prices_are_told_with_their_age_and_missing_ones_named(
    client: Client, redis_client: redis.Redis, bearer: dict[str, str]
) -> None:
    at = int((time.time() - 12) * 1000)
    redis_client.hset(keys.LAST, "0B:005930", b"1|%d|%s" % (at, row(61_100)))

    body = client.get(f"{QUOTES}?symbols=005930, 000660,,005930", headers=bearer).json()

    (quote,) = body["quotes"]
    assert (quote["symbol"], quote["values"]["10"]) == ("005930", "-61100")
    assert 12 <= quote["age_s"] < 60
    assert body["missing"] == ["000660"]


@pytest.mark.parametrize(
    ("rights", "symbols", "status"),
    [
        ({"items": ["005930"]}, "005930", 200),
        ({"items": ["005930"]}, "005930,000660", 403),
        ({"types": ["0B", "0D"]}, "000660", 200),
        ({"types": ["0D"]}, "005930", 403),
    ],
)
def test_a_key_reads_the_prices_it_may_register_and_no_others(
    client: Client,
    redis_client: redis.Redis,
    key: FeedKey,
    bearer: dict[str, str],
    rights: dict[str, list[str]],
    symbols: str,
    status: int,
) -> None:
    redis_client.hset(keys.LAST, "0B:000660", b"1|%d|%s" % (time.time() * 1000, row(61_100)))
    FeedKey.objects.filter(pk=key.pk).update(**rights)

    answer = client.get(f"{QUOTES}?symbols={symbols}", headers=bearer)

    assert answer.status_code == status
    if status == 403:
        assert "000660" in answer.json()["detail"] or "0B" in answer.json()["detail"]
        assert "61100" not in answer.content.decode()


@pytest.mark.parametrize(
    "symbols",
    [
        "",
        ",,,",
        "005930;000660",
        "<script>",
        "0B:005930",
        "*",
        "005930\n000660",
        "%00",
        "삼성전자",
        "A" * 21,
        ",".join(f"{number:06}" for number in range(SYMBOLS_MAX + 1)),
        "9" * 5000,
    ],
)
def test_odd_symbols_are_refused_with_a_sentence(
    client: Client, bearer: dict[str, str], symbols: str
) -> None:
    answer = client.get(QUOTES, {"symbols": symbols}, headers=bearer)

    assert answer.status_code == 422
    assert answer.json()["detail"]


def test_symbols_have_to_be_given(client: Client, bearer: dict[str, str]) -> None:
    assert client.get(QUOTES, headers=bearer).status_code == 422


@pytest.mark.parametrize("raw", [b"", b"x", b"1|2", b"1|2|not json", b'1|2|{"values":7}', b"a|b|{}"])
def test_an_unreadable_last_value_counts_as_missing(
    client: Client, redis_client: redis.Redis, bearer: dict[str, str], raw: bytes
) -> None:
    redis_client.hset(keys.LAST, "0B:005930", raw)

    answer = client.get(f"{QUOTES}?symbols=005930", headers=bearer)

    assert (answer.status_code, answer.json()) == (200, {"quotes": [], "missing": ["005930"]})


def test_without_redis_it_says_try_again(client: Client, settings) -> None:
    client.force_login(world.person("alice", "viewer"))
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    sync_client.cache_clear()
    try:
        for answer in (client.post(TICKETS), client.get(f"{QUOTES}?symbols=005930")):
            assert answer.status_code == 503
            assert answer.json()["detail"]
    finally:
        sync_client.cache_clear()


def test_the_documentation_names_both_ways_to_sign_in_and_every_answer() -> None:
    schema = OpenAPISchema(api, "/api/v1/")

    for path, method in ((TICKETS, "post"), (QUOTES, "get")):
        operation = schema["paths"][path][method]
        kinds = {name for one in operation["security"] for name in one}
        schemes = schema["components"]["securitySchemes"]
        assert {(schemes[kind]["type"], schemes[kind].get("scheme", "")) for kind in kinds} == {
            ("http", "bearer"),
            ("apiKey", ""),
        }
        assert {int(code) for code in operation["responses"]} >= {200, 401, 503}
    assert 429 in {int(code) for code in schema["paths"][TICKETS]["post"]["responses"]}
    assert 422 in {int(code) for code in schema["paths"][QUOTES]["get"]["responses"]}
