"""Fixtures shared by every test: the real Valkey, and people with stated rights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.browser import chromium
from tests.engine import busybox_image, docker_client, docker_host
from tests.require import IN_CI, require
from tests.servers import nginx, postgres_port, postgres_url


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


__all__ = [
    "IN_CI",
    "busybox_image",
    "chromium",
    "docker_client",
    "docker_host",
    "nginx",
    "postgres_port",
    "postgres_url",
    "redis_client",
    "require",
    "seed_report",
]
