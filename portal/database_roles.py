"""What each PostgreSQL role of ``deploy/postgres/roles.sql`` may do with the tables.

Given anew by every ``manage.py migrate``, as the tables' owner, so that no table is ever forgotten or open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder

APP, OPS, GATEWAY = ROLES = ("bonghwa_app", "bonghwa_ops", "bonghwa_gateway")
#: What the app may do with a table that is not named below.
ROWS = "SELECT, INSERT, UPDATE, DELETE"
#: Tables of which the app may not do everything: the audit, the mark of its end, and which migrations ran.
KEPT: Mapping[str, str] = {
    "incidents_auditentry": "SELECT, INSERT",
    "incidents_audithead": "SELECT, INSERT, UPDATE",
    "django_migrations": "SELECT",
}
#: What other roles may do; the ops worker's is also a member of the app's.
MORE: Mapping[tuple[str, str], str] = {
    (OPS, "incidents_auditentry"): "DELETE",  # whose days are over; a trigger keeps the others
    (GATEWAY, "gateway_marketday"): "SELECT",
}


def grants(tables: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return role, rights and table of every grant on ``tables``."""
    given = [(APP, KEPT.get(table, ROWS), table) for table in tables]
    return given + [(role, rights, table) for (role, table), rights in MORE.items() if table in tables]


def apply(*, using: str, **_signal: object) -> None:
    """Let each role do exactly what is written here; for ``post_migrate``.

    Nothing happens in SQLite, and in a PostgreSQL that has no such roles.

    Raises:
        django.db.ProgrammingError: the tables are not the current role's.
    """
    connection = connections[using]
    if connection.vendor != "postgresql" or not _exist(connection):
        return
    quote = connection.ops.quote_name
    tables = sorted(
        {
            *connection.introspection.django_table_names(only_existing=True, include_views=False),
            MigrationRecorder.Migration._meta.db_table,
        }
    )
    everything = ", ".join(map(quote, tables))
    # In one transaction: those who work meanwhile have what they had, or what they shall have.
    with transaction.atomic(using=using), connection.cursor() as cursor:
        cursor.execute(f"REVOKE ALL ON {everything} FROM {', '.join(ROLES)}")
        for role, rights, table in grants(tables):
            cursor.execute(f"GRANT {rights} ON {quote(table)} TO {role}")


def _exist(connection: BaseDatabaseWrapper) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_roles WHERE rolname = ANY(%s)", [list(ROLES)])
        (found,) = cursor.fetchone()
    return bool(found == len(ROLES))
