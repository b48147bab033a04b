"""``/health/proxy`` tells whoever asks what of their own request arrived."""

from __future__ import annotations

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

FORWARDED = {"x-forwarded-proto": "https", "x-forwarded-for": "203.0.113.9"}


def test_what_a_trusted_proxy_forwards_arrives(client: Client, settings: Settings) -> None:
    settings.TRUSTED_PROXIES = ["127.0.0.1"]
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    answer = client.get(
        "/health/proxy", headers=FORWARDED | {"host": "bonghwa.example", "connection": "close"}
    )

    assert answer.json() == {
        "scheme": "https",
        "host": "bonghwa.example",
        "connection": "close",
        "address": "forwarded",
    }
    assert answer["Cache-Control"] == "no-store"


@pytest.mark.parametrize("trusted", [[], ["10.0.0.1"]])
def test_a_proxy_that_is_not_trusted_is_ignored(client: Client, settings: Settings, trusted) -> None:
    settings.TRUSTED_PROXIES = trusted
    answer = client.get("/health/proxy", headers=FORWARDED)

    assert (answer.json()["address"], answer.json()["scheme"]) == ("ignored", "http")


def test_it_answers_before_host_checks_and_redirects_and_tells_little(
    client: Client, settings: Settings
) -> None:
    settings.SECURE_SSL_REDIRECT = True
    answer = client.get("/health/proxy", HTTP_HOST="x" * 500)

    assert answer.status_code == 200
    assert answer.json() == {"scheme": "http", "host": "x" * 100, "connection": "", "address": "absent"}
