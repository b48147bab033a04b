"""Connections to PostgreSQL: pooled, checked before use, and rid of statements that hang."""

from __future__ import annotations

import psycopg
import pytest
from django.db import OperationalError, connections
from django.db.backends.postgresql.base import DatabaseWrapper

from portal.database import of_url


@pytest.fixture
def pooled(postgres_url, django_db_blocker):
    """A connection of a pool of one, whose statements may take 0.2 s."""
    given = connections.configure_settings({"default": of_url(postgres_url, pool=1, statement_timeout=0.2)})
    with django_db_blocker.unblock():
        wrapper = DatabaseWrapper(given["default"], "pooled")
        yield wrapper
        wrapper.close()
        wrapper.close_pool()


def value(wrapper, query):
    with wrapper.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()[0]


@pytest.mark.postgres
def test_a_pooled_connection_that_the_server_ended_meanwhile_is_not_given_out(pooled, postgres_url):
    first = value(pooled, "SELECT pg_backend_pid()")
    pooled.close()
    assert value(pooled, "SELECT pg_backend_pid()") == first
    pooled.close()
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'bonghwa'"
        )
    assert value(pooled, "SELECT pg_backend_pid()") != first


@pytest.mark.postgres
def test_a_statement_that_hangs_is_ended_and_the_connection_goes_on(pooled):
    with pytest.raises(OperationalError, match="statement timeout"):
        value(pooled, "SELECT pg_sleep(30)")
    assert value(pooled, "SELECT 1") == 1


def test_what_the_url_says_is_kept_beside_our_limits():
    options = of_url("postgres://host/name?sslmode=verify-full&options=-c%20search_path%3Dops", pool=0)[
        "OPTIONS"
    ]
    assert options["sslmode"] == "verify-full"
    assert options["options"].endswith("-c search_path=ops")
    assert "statement_timeout=30000" in options["options"]
    assert "pool" not in options
