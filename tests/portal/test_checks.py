"""Settings that boot but cannot work are told by id."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.core.checks import run_checks
from pytest_django.fixtures import Settings

from incidents.policy import Policy

# Apprise imports it while it looks for a URL's kind.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


def ids() -> list[str]:
    return [str(message.id) for message in run_checks(tags=["portal"])]


def test_the_defaults_are_clean() -> None:
    assert ids() == []


@pytest.mark.parametrize(
    ("found", "changes"),
    [
        ("portal.E001", {"PUBLIC_URL": "nonsense"}),
        ("portal.E002", {"PUBLIC_URL": "http://elsewhere.example"}),
        ("portal.E003", {"HTTPS": True}),
        ("portal.E004", {"TRUSTED_PROXIES": ["10.0.0.0/99"]}),
        ("portal.E005", {"PORT": 70000}),
        ("portal.E006", {"PORT": 5112}),
        ("portal.E007", {"LANGUAGE_CODE": "fr"}),
        ("portal.E010", {"NOTIFY_URLS": ["nonsense"]}),
        ("portal.E014", {"PROBE_ALLOW": ["10.0.0.0/99"]}),
        ("portal.E014", {"PROBE_CONNECTIVITY": ["1.1.1.1"]}),
        ("portal.E015", {"PROBE_CA_FILE": "/nowhere.pem"}),
        ("portal.E020", {"NOTIFY_POLICY": Policy(escalation=(60.0,))}),
        ("portal.E021", {"CHANNEL_KEY": ["short"]}),
        ("portal.E030", {"SESSION_IDLE": 0}),
        ("portal.E030", {"SESSION_IDLE": 7200, "SESSION_COOKIE_AGE": 3600}),
    ],
)
def test_a_combination_that_cannot_work_has_an_id(
    settings: Settings, found: str, changes: dict[str, object]
) -> None:
    for name, value in changes.items():
        setattr(settings, name, value)

    assert found in ids()


def test_a_value_beside_a_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_URLS_FILE", "/run/secrets/notify_urls")
    monkeypatch.setenv("NOTIFY_URLS", "")
    assert ids() == []

    monkeypatch.setenv("NOTIFY_URLS", "json://somewhere.example")
    assert ids() == ["portal.E018"]


@pytest.mark.parametrize(
    ("found", "changes"), [("portal.E008", {"base": 90.0}), ("portal.E009", {"attempt_limit": 0})]
)
def test_a_reconnect_policy_that_cannot_work_has_an_id(
    settings: Settings, found: str, changes: dict[str, float]
) -> None:
    upstream = settings.GATEWAY_UPSTREAM
    settings.GATEWAY_UPSTREAM = replace(upstream, retry=replace(upstream.retry, **changes))

    assert ids() == [found]


@pytest.mark.parametrize(
    ("found", "changes"),
    [
        ("portal.E011", {"queue_bytes": -1}),
        ("portal.E011", {"connect_rate": 0.0}),
        ("portal.E011", {"slow_after": float("nan")}),
        ("portal.E011", {"token_lifetime": float("inf")}),
        ("portal.E013", {"memory_shed_ratio": 1.5}),
    ],
)
def test_a_limit_of_the_feed_that_cannot_be_meant_has_an_id(
    settings: Settings, found: str, changes: dict[str, float]
) -> None:
    settings.GATEWAY_FEED = replace(settings.GATEWAY_FEED, **changes)

    assert ids() == [found]


@pytest.mark.parametrize(
    ("found", "changes"),
    [
        ("portal.E011", {"stale_after": -1.0}),
        ("portal.E011", {"items_per_connection": 0}),
        ("portal.E012", {"lease_renew": 15.0}),
    ],
)
def test_a_number_of_the_upstream_that_cannot_be_meant_has_an_id(
    settings: Settings, found: str, changes: dict[str, float]
) -> None:
    settings.GATEWAY_UPSTREAM = replace(settings.GATEWAY_UPSTREAM, **changes)

    assert ids() == [found]


def test_what_may_be_switched_off_may_be_zero(settings: Settings) -> None:
    settings.GATEWAY_FEED = replace(settings.GATEWAY_FEED, flush_ms=0.0, memory_limit=0)
    retry = replace(settings.GATEWAY_UPSTREAM.retry, start_jitter=0.0)
    settings.GATEWAY_UPSTREAM = replace(settings.GATEWAY_UPSTREAM, linger=0.0, retry=retry)

    assert ids() == []


def test_a_wildcard_host_matches_its_domain(settings: Settings) -> None:
    settings.PUBLIC_URL = "http://portal.example.com"
    settings.ALLOWED_HOSTS = [".example.com"]

    assert ids() == []


def test_a_wrong_channel_does_not_show_its_secret(settings: Settings) -> None:
    settings.NOTIFY_URLS = ["nonsense://hunter22"]
    (message,) = run_checks(tags=["portal"])

    assert "hunter22" not in message.msg
