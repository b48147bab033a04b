"""Redis and PostgreSQL with the users and roles of ``deploy/``, for tests of what each may do."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import redis

from tests.databases import migrate, migrated_postgres
from tests.services import free_port, start_valkey, stop

ROOT = Path(__file__).resolve().parent.parent
REDIS_USERS = ("web", "gateway", "worker-collect", "worker-ops", "beat", "setup")
DATABASE_ROLES = ("owner", "app", "ops", "gateway")
#: What the test itself looks with; it is in no deployment.
LOOKER = "user looker on >looker ~* &* +@all\n"
#: Tries each argument as a statement in the product's own database, and undoes it.
TRY = """
import sys
from django.db import ProgrammingError, transaction
for statement in sys.argv[1:]:
    try:
        with transaction.atomic():
            transaction.get_connection().cursor().execute(statement)
            transaction.set_rollback(True)
        print("may")
    except ProgrammingError as error:
        assert str(error).startswith(("permission denied", "must be owner")), error
        print("may not")
"""


class Redis:
    """A Valkey with the deployed users; ``denied`` is what its users tried and might not."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.looker = self.client("looker", "looker")

    def url(self, role: str, password: str = "") -> str:
        """Return the URL with which ``role`` connects."""
        return f"redis://{role}:{password or secret(role)}@127.0.0.1:{self._port}/0"

    def client(self, role: str, password: str = "") -> redis.Redis:
        """Return a client of ``role``."""
        return redis.Redis.from_url(self.url(role, password), socket_timeout=10)

    def denied(self) -> list[str]:
        """Return who was refused what."""
        entries: Any = self.looker.acl_log()
        return [
            f"{one['username']}: {one['reason']} {one['object']} ({one['client-info']})" for one in entries
        ]


def secret(role: str) -> str:
    """Return the throw-away password of ``role``."""
    return f"password-of-{role}"


@contextmanager
def guarded_redis(folder: Path) -> Iterator[Redis]:
    """Run Valkey with the users that ``deploy/redis/users.sh`` prints, until it is left."""
    for role in REDIS_USERS:
        (folder / f"redis_password_{role}").write_text(secret(role) + "\n")
    script = ROOT / "deploy" / "redis" / "users.sh"
    printed = subprocess.run([script, folder], check=True, capture_output=True, text=True).stdout  # noqa: S603 - our own script
    (folder / "users.acl").write_text(printed + LOOKER)
    port = free_port()
    process = start_valkey(folder, port, "--aclfile", str(folder / "users.acl"))
    server = Redis(port)
    try:
        yield server
    finally:
        server.looker.close()
        stop(process)


def make_roles(url: str, programs: Path, folder: Path) -> None:
    """Run ``deploy/postgres/roles.sql`` in the database at ``url``."""
    for role in DATABASE_ROLES:
        (folder / f"postgres_password_{role}").write_text(secret(role) + "\n")
    words = ["--no-psqlrc", "--quiet", "-v", f"secrets={folder}", "-d", url]
    script = str(ROOT / "deploy" / "postgres" / "roles.sql")
    subprocess.run([str(programs / "psql"), *words, "-f", script], check=True, capture_output=True)  # noqa: S603 - Debian's own program


def migrated_with_roles(url: str, programs: Path, folder: Path) -> None:
    """Make the empty database at ``url`` what a deployment has: the roles, and migrations by the owner."""
    make_roles(url, programs, folder)
    migrated_postgres(as_role(url, "owner"), programs)
    migrate(folder, {"DATABASE_URL": as_role(url, "owner")})


def as_role(url: str, role: str) -> str:
    """Return ``url`` for the database role ``role``."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://bonghwa_{role}:{secret(role)}@{rest.rpartition('@')[2]}"


def may(url: str, statement: str) -> bool:
    """Whether PostgreSQL lets ``statement`` be run at ``url``; whatever it does is undone."""
    with psycopg.connect(url) as connection:
        try:
            connection.execute(statement)
        except psycopg.errors.InsufficientPrivilege:
            return False
        finally:
            connection.rollback()
    return True


def allowed(python: Callable[..., str], statements: Sequence[str]) -> list[str]:
    """Return those of ``statements`` that the database lets a process run; whatever they do is undone.

    ``python`` runs a script with arguments, and with the process's own environment.
    """
    said = python("import django; django.setup()" + TRY, *statements).splitlines()
    assert len(said) == len(statements), said
    return [statement for statement, answer in zip(statements, said, strict=True) if answer == "may"]
