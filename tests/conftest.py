"""Fixtures shared by every test, and how tests are shared among workers."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import redis
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

from tests import distribution
from tests.browser import chromium
from tests.engine import busybox_image, docker_client, docker_host
from tests.require import IN_CI, require
from tests.servers import (
    another_migrated_postgres_url,
    migrated_postgres_url,
    nginx,
    postgres_port,
    postgres_url,
)


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None]:
    """Order the tests for sharing; every worker must come to the same order."""
    yield
    if distribution.WORKER:
        distribution.arrange(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Share tests out among workers in the groups of this project, whatever ``--dist`` says."""
    return distribution.scheduler(config, log)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker):
    """Let the tests' SQLite database be emptied between tests; what guards the audit has tests of its own."""
    with django_db_blocker.unblock():
        if connection.vendor == "sqlite":
            with connection.cursor() as cursor:
                cursor.execute("DROP TRIGGER IF EXISTS incidents_audit_kept")


@pytest.fixture(autouse=True, scope="session")
def a_test_s_transaction_outlives_who_closes_old_connections() -> Iterator[None]:
    """Channels and Celery's beat close old connections between two pieces of work, a test's own among them.

    On SQLite in memory that does nothing.
    """
    close = BaseDatabaseWrapper.close_if_unusable_or_obsolete

    def unless_in_a_transaction(self: BaseDatabaseWrapper) -> None:
        if not self.in_atomic_block:
            close(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseDatabaseWrapper, "close_if_unusable_or_obsolete", unless_in_a_transaction)
        yield


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
    "another_migrated_postgres_url",
    "busybox_image",
    "chromium",
    "docker_client",
    "docker_host",
    "migrated_postgres_url",
    "nginx",
    "postgres_port",
    "postgres_url",
    "redis_client",
    "require",
    "seed_report",
]
