"""Rows as JSON lines by Django's own serializer, and lines as rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime, time
from typing import Any

from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.serializers.base import DeserializationError
from django.core.serializers.json import DjangoJSONEncoder
from django.core.serializers.python import Deserializer
from django.core.serializers.python import Serializer as PythonSerializer
from django.db import connection, models

from portal.backup.tables import Model

#: Rows that are read or written at once; fewer where they have blobs (5 MiB at most).
BATCH = 500
BATCH_OF_BLOBS = 10
#: Characters of lines after which a batch is written, however few its rows are.
BATCH_CHARACTERS = 8 * 2**20
#: Their ids are those of one database, so rows name them by their natural keys.
NATURAL = (ContentType, Permission)


class _Exact(DjangoJSONEncoder):
    """Keeps microseconds, which Django's cuts to milliseconds: the audit's codes cover them."""

    def default(self, o: Any) -> Any:
        return o.isoformat() if isinstance(o, datetime | time) else super().default(o)


class RowSerializer(PythonSerializer):
    """Writes one line for each row. Lists of related rows are left to the tables between."""

    def end_object(self, obj: Any) -> None:
        """Write the row that was put together."""
        line = json.dumps(self.get_dump_object(obj), cls=_Exact, ensure_ascii=False, separators=(",", ":"))
        self.stream.write(line + "\n")
        self._current = None

    def handle_fk_field(self, obj: Any, field: Any) -> None:
        """Write the id of the other row, or its natural key."""
        self.use_natural_foreign_keys = field.remote_field.model in NATURAL
        super().handle_fk_field(obj, field)

    def handle_m2m_field(self, obj: Any, field: Any) -> None:
        """Write nothing."""


def rows_of(model: Model) -> Iterator[models.Model]:
    """Yield the rows of ``model`` by their keys, a batch in memory at a time."""
    related = [
        field.name if field.remote_field.model is ContentType else f"{field.name}__content_type"
        for field in model._meta.local_fields
        if field.remote_field is not None and field.remote_field.model in NATURAL
    ]
    rows: models.QuerySet[Any] = models.QuerySet(model).order_by("pk")
    if related:
        rows = rows.select_related(*related)
    blobs = any(isinstance(field, models.BinaryField) for field in model._meta.local_fields)
    yield from rows.iterator(chunk_size=BATCH_OF_BLOBS if blobs else BATCH)


def insert(model: Model, lines: Iterable[str]) -> int:
    """Insert the rows of ``lines`` as they are, without signals; returns how many.

    Raises:
        DeserializationError: a line is no row of this version's table.
        DatabaseError: the database refuses a row.
    """
    done, characters = 0, 0
    batch: list[models.Model] = []
    sizes: list[int] = []

    def objects() -> Iterator[Any]:
        for line in lines:
            sizes.append(len(line))
            yield json.loads(line)

    for found in Deserializer(objects()):
        if type(found.object) is not model:
            raise DeserializationError(f"a row of {found.object._meta.label_lower} is among them")
        batch.append(found.object)
        characters += sizes.pop()
        if len(batch) >= BATCH or characters >= BATCH_CHARACTERS:
            done += _write(model, batch)
            batch, characters = [], 0
    return done + _write(model, batch)


def _write(model: Model, batch: list[models.Model]) -> int:
    """Insert with the values given: raw, so that no column that fills itself does."""
    fields = model._meta.local_concrete_fields
    rows: Any = models.QuerySet(model)
    size = max(connection.ops.bulk_batch_size(fields, batch), 1) if batch else 1
    for start in range(0, len(batch), size):
        rows._insert(batch[start : start + size], fields=fields, using="default", raw=True)
    return len(batch)
