"""PostgreSQL roles as deployed: what each may and may not do to the migrated tables."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from portal import database_roles
from tests.databases import migrate
from tests.rights import as_role, may, migrated_with_roles
from tests.servers import new_database, postgres_programs

pytestmark = pytest.mark.postgres
ENTRY = """INSERT INTO incidents_auditentry (seq, at, actor_name, action, target, reason, before_json,
    after_json, key_id, previous, mac) VALUES (1, now(), '', 'test.word', '', '', '', '', '', '', '')"""


@pytest.fixture(scope="module")
def database(postgres_port: int, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database as ``docs`` has it made: roles, then migrations as the owner."""
    url = new_database(postgres_port)
    migrated_with_roles(url, programs(), tmp_path_factory.mktemp("roles"))
    return url


def programs() -> Path:
    """Return the folder of PostgreSQL's programs."""
    found = postgres_programs()
    assert found is not None
    return found


def test_each_role_may_what_it_needs_and_no_more(database: str) -> None:
    owner, app, ops, gateway = (as_role(database, role) for role in ("owner", "app", "ops", "gateway"))

    for url in (app, ops):
        assert may(url, "SELECT * FROM incidents_incident FOR UPDATE")
        assert may(url, "DELETE FROM django_session")
        assert may(url, ENTRY)
        assert may(url, "UPDATE incidents_audithead SET seq = 1")
        # Nothing is made, changed or removed but rows.
        assert not may(url, "CREATE TABLE mine (id int)")
        assert not may(url, "CREATE TEMPORARY TABLE mine (id int)")
        assert not may(url, "ALTER TABLE incidents_incident ADD COLUMN mine int")
        assert not may(url, "ALTER TABLE incidents_auditentry DISABLE TRIGGER ALL")
        assert not may(url, "DROP TRIGGER incidents_audit_kept ON incidents_auditentry")
        assert not may(url, "DROP TABLE incidents_auditentry")
        assert not may(url, "TRUNCATE incidents_auditentry")
        assert not may(url, "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        assert not may(url, "CREATE ROLE mine")
        assert not may(url, "SET ROLE bonghwa_owner")
        assert not may(url, "SET session_replication_role = replica")
        assert not may(url, "COPY incidents_incident TO PROGRAM 'cat'")
        assert not may(url, "SELECT pg_read_file('/etc/passwd')")
        # The audit only grows.
        assert not may(url, "UPDATE incidents_auditentry SET reason = 'mine'")
        assert not may(url, "DELETE FROM incidents_audithead")
        assert not may(url, "DELETE FROM django_migrations")
    assert not may(app, "DELETE FROM incidents_auditentry")
    assert may(ops, "DELETE FROM incidents_auditentry")  # where the trigger lets it: what is too old

    assert may(gateway, "SELECT * FROM gateway_marketday")
    assert not may(gateway, "INSERT INTO gateway_marketday DEFAULT VALUES")
    for table in (
        "auth_user",
        "django_session",
        "gateway_feedkey",
        "incidents_channel",
        "incidents_incident",
    ):
        assert not may(gateway, f"SELECT * FROM {table}")  # noqa: S608 - names of this test

    assert may(owner, "ALTER TABLE incidents_incident ADD COLUMN mine int")
    assert not may(owner, "CREATE ROLE mine")


def test_every_table_is_given_to_the_app_by_name(database: str) -> None:
    with psycopg.connect(as_role(database, "owner")) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    tables = {table for (table,) in rows}

    assert tables >= {*database_roles.KEPT, *(table for _role, table in database_roles.MORE)}
    for table in tables:
        assert may(as_role(database, "app"), f"SELECT * FROM {table}"), table  # noqa: S608 - names of this test


def test_a_table_of_nobodys_is_nobodys(database: str) -> None:
    with psycopg.connect(as_role(database, "owner")) as connection:
        connection.execute("CREATE TABLE forgotten (id int)")

    for role in ("app", "ops", "gateway"):
        assert not may(as_role(database, role), "SELECT * FROM forgotten")


def test_a_later_migration_takes_back_what_was_given_by_hand(database: str, tmp_path: Path) -> None:
    with psycopg.connect(as_role(database, "owner")) as connection:
        connection.execute("GRANT ALL ON incidents_auditentry, auth_user TO bonghwa_app, bonghwa_gateway")
    assert may(as_role(database, "app"), "DELETE FROM incidents_auditentry")

    migrate(tmp_path, {"DATABASE_URL": as_role(database, "owner")})

    assert not may(as_role(database, "app"), "DELETE FROM incidents_auditentry")
    assert not may(as_role(database, "gateway"), "SELECT * FROM auth_user")
    assert may(as_role(database, "app"), ENTRY)


def test_nobody_else_may_connect(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS stranger")
        connection.execute("CREATE ROLE stranger LOGIN")
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(database.replace("postgres@", "stranger@"))
