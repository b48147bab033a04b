"""A small named world: one clock, one service, one way to raise its alert."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from incidents import services, vault
from incidents.models import Channel, Severity
from tests.incidents.hook import Hook, receiver

NOW = datetime(2026, 11, 23, 0, 15, tzinfo=UTC)
FINGERPRINT = "service:docker:api-gateway"


def after(seconds: float) -> datetime:
    """The clock, so many seconds after the start."""
    return NOW + timedelta(seconds=seconds)


def fire(key: str = "health|api-gateway", **changes: Any) -> services.Signalled:
    """Raise one alert of api-gateway at ``NOW``."""
    given: dict[str, Any] = {
        "fingerprint": FINGERPRINT,
        "key": key,
        "title": "헬스체크 연속 실패",
        "service": "api-gateway",
        "severity": Severity.WARNING,
        "detail": {"value": 397, "limit": 3, "unit": "회"},
        "at": NOW,
        "resolve_after_s": 20.0,
    }
    return services.signal(**{**given, **changes})


def channel(hook: Hook, name: str, **changes: Any) -> Channel:
    """Create a channel that speaks English to a receiver on loopback, which has to be listed."""
    given: dict[str, Any] = {"language": "en", "address": vault.seal(hook.url)}
    return Channel.objects.create(name=name, **{**given, **changes})


@pytest.fixture
def hook():
    """A receiver that answers 200."""
    with receiver() as running:
        yield running


@pytest.fixture
def other():
    """A second receiver."""
    with receiver() as running:
        yield running


@pytest.fixture
def loopback_is_listed(settings):
    """Let channels reach the receivers of the tests."""
    settings.CHANNEL_INTERNAL_TARGETS = ["127.0.0.0/8"]


@pytest.fixture
def korean(settings):
    """Korean as the site's language, whatever the machine says."""
    settings.LANGUAGE_CODE = "ko"


@pytest.fixture
def english(settings):
    """English as the site's language: texts as they are in the source."""
    settings.LANGUAGE_CODE = "en"
