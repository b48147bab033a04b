"""What a row of history takes in the deployment's PostgreSQL, its indexes included."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from portal.monitoring.pace import BASE_S
from portal.monitoring.probes.schedule import INTERVAL_S, JITTER
from tests.deploy.deployment import Deployment
from tests.deploy.prove.table import Line

#: Seconds between two probes of a healthy endpoint that has the default interval, on average.
PROBED_EACH_S = INTERVAL_S * sum(JITTER) / len(JITTER)
#: Rows that retention keeps of one container and of one endpoint, by table (docs/monitoring.md).
KEPT = {
    "monitoring_observation": ("container", int(48 * 3600 / BASE_S)),
    "monitoring_serviceminute": ("container", 14 * 1440),
    "monitoring_servicehour": ("container", 400 * 24),
    "monitoring_proberesult": ("endpoint", int(48 * 3600 / PROBED_EACH_S)),
    "monitoring_endpointminute": ("endpoint", 14 * 1440),
    "monitoring_endpointhour": ("endpoint", 400 * 24),
}
ROWS = 50_000
#: A value of each type for the row of number ``g``; one column of times makes every row another.
VALUES = {
    "bigint": "1",
    "smallint": "200",
    "integer": "12",
    "boolean": "true",
    "double precision": "random() * 1000",
    "character varying": "'200 OK'",
    "timestamp with time zone": "now() + g * interval '1 second'",
}


def play(one: Deployment) -> Iterator[Line]:
    """Fill a temporary copy of each table and read its size; nothing of it stays."""
    total = {"container": 0.0, "endpoint": 0.0}
    for table, (what, kept) in KEPT.items():
        size = _query(one, _filled(table, _columns(one, table)))
        total[what] += size * kept
        yield Line(
            "rest", f"PostgreSQL, {table}", f"{size:.0f} bytes a row, {kept:,} rows kept of each {what}"
        )
    each = {"container": BASE_S, "endpoint": PROBED_EACH_S}
    for what, size in total.items():
        name = f"PostgreSQL, one {what} for 400 days, seen each {each[what]:g} s"
        yield Line("rest", name, f"{size / 2**20:.1f} MiB")


def connections(one: Deployment) -> int:
    """Return how many connections the deployment has open to its database."""
    return int(_query(one, "SELECT count(*) FROM pg_stat_activity WHERE datname = 'bonghwa'")) - 1


def _columns(one: Deployment, table: str) -> Mapping[str, str]:
    found_in = "FROM information_schema.columns"
    text = _psql(
        one,
        f"SELECT json_object_agg(column_name, data_type) {found_in} WHERE table_name = '{table}'",
    )
    found: Mapping[str, str] = json.loads(text)
    return found


def _filled(table: str, columns: Mapping[str, str]) -> str:
    values = ", ".join("g" if name == "id" else VALUES[kind] for name, kind in columns.items())
    names = ", ".join(columns)
    made = f"CREATE TEMP TABLE sized (LIKE {table} INCLUDING INDEXES)"
    filled = f"INSERT INTO sized ({names}) SELECT {values} FROM generate_series(1, {ROWS}) g"  # noqa: S608 - the database's own names
    return f"{made}; {filled}; SELECT pg_total_relation_size('sized')::float / {ROWS}"


def _query(one: Deployment, statement: str) -> float:
    return float(_psql(one, statement).splitlines()[-1])


def _psql(one: Deployment, statement: str) -> str:
    return one.inside("postgres", "psql", "-h", "/tmp", "-U", "postgres", "-qAt", "-c", statement, "bonghwa")
