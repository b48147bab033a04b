"""Puts a backup into an empty, migrated database, all or nothing."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from django.core.management.color import no_style
from django.core.serializers.base import DeserializationError
from django.db import DatabaseError, connection, models, transaction

from incidents import audit, audit_anchor, vault
from incidents.audit_anchor import Anchor, AnchorDamaged
from incidents.audit_check import Verdict, verify
from incidents.models import Channel
from portal.backup.archive import Manifest, Reader, Refused, reading
from portal.backup.rows import insert
from portal.backup.tables import DEFAULTS, Model, carried, migration_heads

#: Tables named in a refusal.
NAMED = 3


class Restored(NamedTuple):
    """Rows put there, what the audit's verification says, and channels whose address no key here opens."""

    rows: int
    audit: Verdict
    sealed: list[str]


def check(path: Path, *, signed: bool = True) -> Manifest:
    """Verify the whole file and touch no database.

    Raises:
        Refused: it is damaged, changed, newer, or not vouched for.
    """
    with reading(path, signed=signed) as reader:
        reader.verify()
        return reader.manifest


def restore(path: Path, *, now: datetime, reason: str = "", signed: bool = True) -> Restored:
    """Verify the file, put its rows into the empty database, and record that in the audit.

    Raises:
        Refused: the file or the database is not fit; nothing was changed.
    """
    with reading(path, signed=signed) as reader:
        reader.verify()
        require_same_tables(reader.manifest)
        with transaction.atomic():
            _alone()
            if reasons := occupied():
                raise Refused(reasons)
            for model in carried(history=True):
                if model._meta.label_lower in DEFAULTS:
                    models.QuerySet(model)._raw_delete("default")
            rows = _insert_all(reader)
            _record(reader.manifest, path, now, reason)
    return Restored(rows=rows, audit=verify(), sealed=_unreadable())


def require_same_tables(manifest: Manifest) -> None:
    """Refuse a database whose tables are not those of the file.

    Raises:
        Refused: it says what to do.
    """
    heads, missing = migration_heads()
    if missing:
        raise Refused(f"This database lacks {missing[0]}: run manage.py migrate first.")
    for app in sorted(heads.keys() | manifest.migrations.keys()):
        ours, theirs = heads.get(app, []), manifest.migrations.get(app, [])
        if ours != theirs:
            raise Refused(
                f"The file was made at {app} {', '.join(theirs) or 'none'}, this database is at "
                f"{', '.join(ours) or 'none'}. Restore with version {manifest.version}, which made it, into "
                "a new database, then upgrade."
            )


def occupied() -> str:
    """Return what stands in the way in this database, and what to do; empty when nothing does."""
    full = [
        model._meta.label_lower
        for model in carried(history=True)
        if model._meta.label_lower not in DEFAULTS and models.QuerySet(model).exists()
    ]
    if not full:
        return ""
    named = ", ".join(full[:NAMED]) + (f" and {len(full) - NAMED} more" if len(full) > NAMED else "")
    return (
        f"This database is not empty: there are rows in {named}. Stop Bonghwa, point DATABASE_URL at a new "
        "database (for SQLite move the file and its -wal and -shm away), run manage.py migrate, and restore."
    )


def _alone() -> None:
    """Keep everybody else from writing until the transaction ends; SQLite's does that."""
    if connection.vendor != "postgresql":
        return
    names = ", ".join(connection.ops.quote_name(model._meta.db_table) for model in carried(history=True))
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        cursor.execute("SET LOCAL lock_timeout = '20s'")
        try:
            cursor.execute(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE")
        except DatabaseError as error:
            raise Refused(f"Something else uses this database; stop Bonghwa first: {error}") from error


def _insert_all(reader: Reader) -> int:
    known: dict[str, Model] = {model._meta.label_lower: model for model in carried(history=True)}
    rows = 0
    for part in reader.manifest.parts:
        if part.table not in known:
            raise Refused(f"{part.name}: this version has no such table.")
        try:
            rows += insert(known[part.table], reader.lines(part))
        except (DatabaseError, DeserializationError, ValueError) as error:
            raise Refused(f"{part.name} cannot be put into this database: {error}".strip()) from error
    try:
        connection.check_constraints()
    except DatabaseError as error:
        raise Refused(f"Rows refer to rows that the file does not have: {error}") from error
    statements = connection.ops.sequence_reset_sql(no_style(), list(known.values()))
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    return rows


def _record(manifest: Manifest, path: Path, now: datetime, reason: str) -> None:
    """Add the restore to the restored audit, whose anchor becomes that of the file.

    An anchor that this machine had stays in the entry: it tells what the database was before.
    """
    old = None
    with suppress(AnchorDamaged):
        old = audit_anchor.read()
    if manifest.audit is not None:
        transaction.on_commit(partial(audit_anchor.write, Anchor(**manifest.audit)))
    audit.record(
        action="backup.restored",
        actor=None,
        target=path.name,
        reason=reason,
        before=asdict(old) if old else None,
        after={"made_at": manifest.made_at, "version": manifest.version, "database": manifest.database},
        at=now,
    )


def _unreadable() -> list[str]:
    lost = []
    for channel in Channel.objects.exclude(address="").order_by("pk"):
        try:
            vault.unseal(channel.address)
        except vault.Unreadable:
            lost.append(channel.name)
    return lost
