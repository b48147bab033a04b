"""Settings that boot but cannot work are told by id."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.core.checks import run_checks
from pytest_django.fixtures import Settings

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
    ],
)
def test_a_combination_that_cannot_work_has_an_id(
    settings: Settings, found: str, changes: dict[str, object]
) -> None:
    for name, value in changes.items():
        setattr(settings, name, value)

    assert found in ids()


@pytest.mark.parametrize(
    ("found", "changes"), [("portal.E008", {"base": 90.0}), ("portal.E009", {"attempt_limit": 0})]
)
def test_a_reconnect_policy_that_cannot_work_has_an_id(
    settings: Settings, found: str, changes: dict[str, float]
) -> None:
    upstream = settings.GATEWAY_UPSTREAM
    settings.GATEWAY_UPSTREAM = replace(upstream, retry=replace(upstream.retry, **changes))

    assert ids() == [found]


def test_a_wildcard_host_matches_its_domain(settings: Settings) -> None:
    settings.PUBLIC_URL = "http://portal.example.com"
    settings.ALLOWED_HOSTS = [".example.com"]

    assert ids() == []


def test_a_wrong_channel_does_not_show_its_secret(settings: Settings) -> None:
    settings.NOTIFY_URLS = ["nonsense://hunter22"]
    (message,) = run_checks(tags=["portal"])

    assert "hunter22" not in message.msg
