"""Connections to PostgreSQL: pooled, checked before use, and rid of statements that hang."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, close_old_connections, connections
from django.db.backends.postgresql.base import DatabaseWrapper
from django.test import Client
from psycopg.sql import SQL, Identifier

from portal.database import of_url
from portal.errors import server_error
from tests.conditions import wait_until
from tests.portal.elsewhere import connected


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


@contextmanager
def refusing(url: str) -> Iterator[None]:
    """Let the server end every connection to the database and take none, as while it restarts."""
    info = psycopg.conninfo.conninfo_to_dict(url)
    name = Identifier(str(info["dbname"]))
    with psycopg.connect(url, dbname="postgres", autocommit=True) as other:
        other.execute(SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
        try:
            other.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
                [info["dbname"]],
            )
            yield
        finally:
            other.execute(SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))


@pytest.mark.postgres
def test_the_pool_recovers_by_itself_from_a_server_that_was_away(pooled, postgres_url):
    assert value(pooled, "SELECT 1") == 1
    pooled.close()
    with refusing(postgres_url):
        with pytest.raises(OperationalError):
            value(pooled, "SELECT 1")
        pooled.close()

    def answers():
        try:
            return value(pooled, "SELECT 1") == 1
        except OperationalError:
            return False

    wait_until(answers, 30, "the pool has a live connection")


@pytest.mark.postgres
def test_pages_and_the_api_answer_503_while_the_database_is_away(
    migrated_postgres_url, django_db_blocker, caplog
):
    with django_db_blocker.unblock(), connected(migrated_postgres_url):
        user = User.objects.create_superuser("root")
        browser = Client(raise_request_exception=False)
        browser.force_login(user)
        assert browser.get("/api/v1/incidents").status_code == 200
        with refusing(migrated_postgres_url):
            for _again in range(2):
                page, api = browser.get("/incidents/"), browser.get("/api/v1/incidents")
                for answer in (page, api):
                    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
                    assert "Content-Security-Policy" in answer
                assert "<h1>503</h1>" in page.text
                assert list(api.json()) == ["detail"]
                close_old_connections()  # as at the end of every request that is not a test's
        assert browser.get("/incidents/").status_code == 200
    assert "Traceback" not in caplog.text


def test_any_other_failure_is_still_a_500(rf):
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        assert server_error(rf.get("/")).status_code == 500


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
