"""The database's settings, from ``DATABASE_URL`` and two numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dj_database_url
from django.core.exceptions import ImproperlyConfigured
from environs import EnvError

from portal.env import env

#: Seconds until a connection is given up, and until a request gets none from the pool.
CONNECT_TIMEOUT_S = 5
#: Seconds that a transaction may sit idle before PostgreSQL ends it: a hung process keeps no locks.
IDLE_IN_TRANSACTION_S = 60
#: libpq gives a silent peer up after 30 s and three probes 10 s apart; sent data unacknowledged, after 30 s.
KEEPALIVE = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}


def database(folder: Path) -> dict[str, Any]:
    """Return ``DATABASES["default"]``; without ``DATABASE_URL`` it is SQLite in ``folder``.

    Raises:
        ImproperlyConfigured: a value is wrong.
    """
    try:
        return of_url(
            env.str("DATABASE_URL", "") or f"sqlite:///{folder / 'bonghwa.sqlite3'}",
            pool=env.int("DATABASE_POOL", 10),
            statement_timeout=env.float("DATABASE_STATEMENT_TIMEOUT", 30.0),
        )
    except (EnvError, ValueError) as error:
        raise ImproperlyConfigured(str(error)) from error


def of_url(url: str, *, pool: int = 10, statement_timeout: float = 30.0) -> dict[str, Any]:
    """Return the settings for ``url``.

    PostgreSQL's connections are pooled in each process, ``pool`` at most (0: one for each request), checked
    before each use, and end a statement after ``statement_timeout`` seconds (0: never). What the URL's own
    query says is kept.
    """
    found: dict[str, Any] = {**dj_database_url.parse(url, conn_health_checks=True)}
    if found["ENGINE"] == "django.db.backends.sqlite3":
        found["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
    elif found["ENGINE"] == "django.db.backends.postgresql":
        given = found.get("OPTIONS", {})
        limits = (
            f"-c statement_timeout={int(statement_timeout * 1000)} "
            f"-c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_S * 1000}"
        )
        found["OPTIONS"] = {
            "connect_timeout": CONNECT_TIMEOUT_S,
            "application_name": "bonghwa",
            **KEEPALIVE,
            **given,
            "options": f"{limits} {given.get('options', '')}".strip(),
        }
        if pool > 0:
            found["OPTIONS"]["pool"] = {
                "min_size": min(1, pool),
                "max_size": pool,
                "timeout": CONNECT_TIMEOUT_S,
                "max_idle": 300,
                # A lost server is tried anew by whoever asks next, not when a growing delay has passed.
                "reconnect_timeout": CONNECT_TIMEOUT_S,
            }
    return found
