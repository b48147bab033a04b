"""How large each table is, measured by a task and kept in Redis, so that no page waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime

import orjson
from django.apps import apps
from django.db import DatabaseError, connection

from portal.monitoring import store

KEY = store.PREFIX + "tables"
#: Seconds that a measurement is shown; the task runs each hour.
TTL = 2 * 24 * 3600


@dataclass(frozen=True, slots=True)
class TableSize:
    """One table with its indexes. ``size_bytes`` is ``None`` where the database cannot tell."""

    table: str
    name: str
    rows: int
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class Measurement:
    """All tables, largest first, and the whole database."""

    at: str
    size_bytes: int | None
    tables: tuple[TableSize, ...]


def measure(now: datetime) -> Measurement:
    """Measure every table of the installed apps; on SQLite this reads the whole file once.

    Raises:
        DatabaseError: the database does not answer.
    """
    found = dict(_postgres() if connection.vendor == "postgresql" else _sqlite())
    names = {model._meta.db_table: str(model._meta.verbose_name_plural) for model in apps.get_models()}
    tables = [TableSize(table, names.get(table, table), rows, size) for table, (rows, size) in found.items()]
    tables.sort(key=lambda one: (-(one.size_bytes or 0), -one.rows, one.table))
    return Measurement(at=now.isoformat(), size_bytes=_total(), tables=tuple(tables))


def save(measurement: Measurement) -> None:
    """Show ``measurement`` on the page."""
    store.client().set(KEY, orjson.dumps(asdict(measurement)), ex=TTL)


def load() -> Measurement | None:
    """Return the newest measurement, ``None`` without one.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    raw = store.client().get(KEY)
    if not raw:
        return None
    data = orjson.loads(raw)
    return Measurement(data["at"], data["size_bytes"], tuple(TableSize(**row) for row in data["tables"]))


def _postgres() -> Iterator[tuple[str, tuple[int, int | None]]]:
    """Rows are the planner's estimate: counting millions of them would cost more than it tells."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, GREATEST(s.n_live_tup, 0), pg_total_relation_size(c.oid) FROM pg_class c"
            " JOIN pg_stat_user_tables s ON s.relid = c.oid WHERE c.relkind = 'r'"
            " AND c.relnamespace = current_schema()::regnamespace"
        )
        for table, rows, size in cursor.fetchall():
            yield table, (rows, size)


def _sqlite() -> Iterator[tuple[str, tuple[int, int | None]]]:
    """Pages by table from ``dbstat``; a SQLite built without it gives only the counts."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, tbl_name FROM sqlite_master WHERE type IN ('table', 'index')")
        owners = dict(cursor.fetchall())
        tables = {owner for name, owner in owners.items() if name == owner}
        try:
            cursor.execute(
                "SELECT name, SUM(pgsize), SUM(CASE WHEN pagetype = 'leaf' THEN ncell ELSE 0 END)"
                " FROM dbstat GROUP BY name"
            )
            pages = cursor.fetchall()
        except DatabaseError:
            for table in sorted(tables):
                cursor.execute(f"SELECT COUNT(*) FROM {connection.ops.quote_name(table)}")  # noqa: S608 - a name from the catalogue, quoted
                yield table, (cursor.fetchone()[0], None)
            return
    sizes: dict[str, list[int]] = {}
    for name, size, cells in pages:
        owner = owners.get(name, "")
        if owner in tables:
            entry = sizes.setdefault(owner, [0, 0])
            entry[0] += size
            entry[1] += cells if name == owner else 0
    for table, (size, rows) in sizes.items():
        yield table, (rows, size)


def _total() -> int | None:
    statements = {
        "postgresql": "SELECT pg_database_size(current_database())",
        "sqlite": "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()",
    }
    if connection.vendor not in statements:
        return None
    with connection.cursor() as cursor:
        cursor.execute(statements[connection.vendor])
        total: int = cursor.fetchone()[0]
    return total
