"""Kiwoom's token endpoints as their clients call them: shapes, refusals, limits."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import redis
from django.test import Client
from django.utils import timezone
from pytest_django.fixtures import Settings

from gateway import auth, keys, views
from gateway.feed_store import sync_client
from gateway.models import FeedKey, digest

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client")]


@pytest.fixture
def pair() -> dict[str, str]:
    """The fields of a usable key, as a client sends them."""
    key = FeedKey(name="bot")
    secret = key.make_secret()
    key.save()
    return {"appkey": key.app_key, "secretkey": secret}


def ask(client: Client, path: str = "token", **body: str) -> tuple[int, dict[str, Any]]:
    """POST to an endpoint; return its status and body."""
    fields = {"grant_type": "client_credentials"} | body
    answer = client.post(f"/oauth2/{path}", fields, content_type="application/json")
    return answer.status_code, answer.json()


def test_a_token_comes_in_kiwooms_shape_and_only_its_digest_is_kept(
    client: Client, pair: dict[str, str], redis_client: redis.Redis
) -> None:
    status, body = ask(client, **pair)

    assert (status, body["return_code"], body["token_type"]) == (200, 0, "bearer")
    korea = timezone.get_fixed_timezone(9 * 60)
    tomorrow = timezone.now().astimezone(korea) + timedelta(days=1)
    assert body["expires_dt"][:10] in {
        (tomorrow + timedelta(seconds=off)).strftime("%Y%m%d%H") for off in (-5, 0)
    }
    assert redis_client.exists(keys.TOKEN.format(digest=digest(body["token"])))
    kept = [f"{name!r} {redis_client.get(name)!r}" for name in redis_client.keys("*token*")]
    assert kept
    assert not [text for text in kept if body["token"] in text]


def test_asking_again_brings_the_same_token(client: Client, pair: dict[str, str]) -> None:
    assert ask(client, **pair)[1]["token"] == ask(client, **pair)[1]["token"]


@pytest.mark.parametrize(
    ("change", "status", "code", "inner"),
    [
        ({"secretkey": "wrong"}, 200, 3, "8002"),
        ({"appkey": "unknown"}, 200, 3, "8001"),
        ({"appkey": "un\0known"}, 200, 3, "8001"),
        ({"appkey": ""}, 200, 2, "1511"),
        ({"grant_type": "password"}, 200, 2, "8011"),
        ({"pad": "x" * views.BODY_MAX}, 413, 2, "1517"),
    ],
)
def test_what_is_refused_is_told_with_kiwooms_codes(
    client: Client, pair: dict[str, str], change: dict[str, str], status: int, code: int, inner: str
) -> None:
    got, body = ask(client, **pair | change)

    assert (got, body["return_code"]) == (status, code)
    assert inner in body["return_msg"]
    assert "token" not in body


@pytest.mark.parametrize("raw", [b"{", b"[]", b"\xff"])
def test_a_body_that_is_no_object_is_refused(client: Client, raw: bytes) -> None:
    answer = client.post("/oauth2/token", raw, content_type="application/json")

    assert answer.status_code == 400
    assert "1512" in answer.json()["return_msg"]


def test_only_post_is_answered(client: Client) -> None:
    assert client.get("/oauth2/token").status_code == 405


def test_guessing_is_slowed_down_by_address(client: Client, pair: dict[str, str]) -> None:
    for _try in range(views.FAILURES_PER_MINUTE):
        assert ask(client, **pair | {"secretkey": "guess"})[0] == 200

    answer = client.post("/oauth2/token", {"grant_type": "client_credentials", **pair}, "application/json")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "60")
    assert "1700" in answer.json()["return_msg"]


def test_one_key_is_slowed_down_from_however_many_addresses(client: Client, pair: dict[str, str]) -> None:
    body = {"grant_type": "client_credentials", **pair}
    answers = [
        client.post("/oauth2/token", body, "application/json", REMOTE_ADDR=f"203.0.113.{place % 250}")
        for place in range(views.REQUESTS_PER_KEY + 1)
    ]

    assert [answer.status_code for answer in answers] == [200] * views.REQUESTS_PER_KEY + [429]
    assert answers[-1].headers["Retry-After"] == "60"


def test_guesses_from_many_addresses_do_not_lock_the_owner_out(client: Client, pair: dict[str, str]) -> None:
    body = {"grant_type": "client_credentials", **pair, "secretkey": "guess"}
    for place in range(views.REQUESTS_PER_KEY + 1):
        client.post("/oauth2/token", body, "application/json", REMOTE_ADDR=f"203.0.113.{place % 250}")

    assert ask(client, **pair)[0] == 200


def test_a_revoked_key_gets_no_token(client: Client, pair: dict[str, str]) -> None:
    ask(client, **pair)
    auth.revoke_key(sync_client(), FeedKey.objects.get())

    assert ask(client, **pair)[1]["return_code"] == 3


def test_a_revoked_token_is_replaced_and_no_strangers_can_be_revoked(
    client: Client, pair: dict[str, str]
) -> None:
    token = ask(client, **pair)[1]["token"]

    assert ask(client, "revoke", **pair, token="another")[1]["return_code"] == 3
    assert ask(client, "revoke", **pair, token=token)[1]["return_code"] == 0
    assert ask(client, **pair)[1]["token"] != token


def test_without_redis_a_client_is_told_to_come_back(
    client: Client, pair: dict[str, str], settings: Settings
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    sync_client.cache_clear()
    try:
        answer = client.post(
            "/oauth2/token", {"grant_type": "client_credentials", **pair}, "application/json"
        )
    finally:
        sync_client.cache_clear()

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert answer.json()["return_code"] == 1
