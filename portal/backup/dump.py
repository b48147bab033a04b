"""Makes a backup from one consistent view of the database, while the system runs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple, cast

from django.db import connection, transaction

from incidents import audit, audit_anchor
from incidents.audit_anchor import Anchor, AnchorDamaged
from incidents.models import AuditHead
from portal.backup.archive import Manifest, Refused, writing
from portal.backup.rows import RowSerializer, rows_of
from portal.backup.tables import Model, carried, migration_heads

#: The product's version, as in ``pyproject.toml``.
VERSION = "0.1.0"


class Done(NamedTuple):
    """What was written: rows of all parts, bytes of the file, and its SHA-256."""

    rows: int
    size: int
    sha256: str


class _Stream(NamedTuple):
    write: Callable[[str], None]


def back_up(path: Path, *, now: datetime, history: bool = False) -> Done:
    """Write a backup to ``path`` and record it in the audit; the record itself is not in it.

    ``history`` adds the measurements. Memory is that of some rows, the disk needs the size of the file.

    Raises:
        Refused: ``path`` exists, or the migrations are not all applied.
        OSError: the file cannot be written.
    """
    heads, missing = migration_heads()
    if missing:
        raise Refused(f"{missing[0]} is not applied: run manage.py migrate first.")
    done: list[Done] = []

    def seal(made: Path) -> None:
        done.append(
            Done(rows=sum(part.rows for part in writer.parts), size=made.stat().st_size, sha256=_sha256(made))
        )
        record = {"sha256": done[0].sha256, "bytes": done[0].size, "rows": done[0].rows, "history": history}
        audit.record(action="backup.made", actor=None, target=path.name, after=record, at=now)

    with writing(path, before_naming=seal) as writer:
        anchor = _anchor()
        with snapshot():
            for model in carried(history=history):
                writer.add(model._meta.label_lower, partial(_lines, model))
            anchor = anchor or _head()
        manifest = Manifest(
            made_at=now.isoformat(),
            version=VERSION,
            database=connection.vendor,
            history=history,
            migrations=heads,
            audit=asdict(anchor) if anchor else None,
            parts=writer.parts,
        )
        writer.finish(manifest)
    return done[0]


def _lines(model: Model, take: Callable[[str], None]) -> None:
    RowSerializer().serialize(rows_of(model), stream=cast(IO[str], _Stream(take)))


@contextmanager
def snapshot() -> Iterator[None]:
    """See the database as it is now until it is left. Keeps no writer waiting.

    SQLite's transactions begin IMMEDIATE here, which would; a deferred one only reads (WAL).
    """
    mode = getattr(connection, "transaction_mode", None)
    if connection.vendor == "sqlite":
        connection.ensure_connection()
        connection.transaction_mode = "DEFERRED"  # type: ignore[attr-defined] # SQLite's
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                cursor.execute("SET LOCAL statement_timeout = 0")
                cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            cursor.execute("SELECT 1 FROM django_migrations LIMIT 1")
            yield
    finally:
        if connection.vendor == "sqlite":
            connection.transaction_mode = mode  # type: ignore[attr-defined] # SQLite's


def _anchor() -> Anchor | None:
    """Return the audit's anchor outside the database; read before the snapshot, it is not ahead of it."""
    try:
        return audit_anchor.read()
    except AnchorDamaged:
        return None


def _head() -> Anchor | None:
    """Return the end of the audit as the database has it, for a machine without the anchor's file."""
    head = AuditHead.objects.filter(pk=1).first()
    return Anchor(head.seq, head.mac) if head and head.seq else None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
