"""Fixtures shared by every test: the real Valkey, and people with stated rights."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

IN_CI = os.environ.get("CI") == "true"
CHROMIUM = shutil.which("chromium")


def require(found: object, what: str) -> None:
    """Skip the test when an optional component is missing; in CI that is a failure.

    Raises:
        pytest.fail.Exception: the component is missing and ``CI=true``.
    """
    if found:
        return
    if IN_CI:
        pytest.fail(f"{what} is required in CI")
    pytest.skip(f"{what} not found")


@pytest.fixture
def redis_client() -> Iterator[redis.Redis]:
    """A client of the run's real Valkey, empty before and after the test."""
    client = redis.Redis.from_url(os.environ["REDIS_URL"])
    client.flushdb()
    yield client
    client.flushdb()
    client.close()


@pytest.fixture
def seed_report() -> Path:
    """The seed report, kept beside the tests."""
    return Path(__file__).parent / "data" / "seed-report.md"
