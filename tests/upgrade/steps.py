"""Which operations of a migration break code that was written before it and still runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import models
from django.db.migrations import operations
from django.db.migrations.migration import Migration
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ModelState, ProjectState
from django.db.models.fields import NOT_PROVIDED

#: Operations that take away what old code names.
REMOVES = (
    operations.RemoveField,
    operations.DeleteModel,
    operations.RenameField,
    operations.RenameModel,
    operations.AlterModelTable,
)
#: Operations that may refuse what old code writes.
RESTRICTS = (operations.AddConstraint, operations.AlterUniqueTogether)


def unsafe(migration: Migration, state: ProjectState) -> Iterator[str]:
    """Yield a sentence for each operation that old code does not survive.

    ``state`` is what the migration starts from; it is changed. Tables that the migration makes itself are
    unknown to old code. Data migrations are not judged.
    """
    fresh: set[str] = set()
    for operation in migration.operations:
        if isinstance(operation, operations.CreateModel):
            fresh.add(operation.name_lower)
        elif _model(operation) not in fresh and (why := _why(operation, migration.app_label, state)):
            yield f"{operation.describe()}: {why}"
        operation.state_forwards(migration.app_label, state)


def _model(operation: Operation) -> str:
    return str(getattr(operation, "model_name", getattr(operation, "name", ""))).lower()


def _why(operation: Operation, app: str, state: ProjectState) -> str:
    if isinstance(operation, operations.SeparateDatabaseAndState):
        return next(filter(None, (_why(one, app, state) for one in operation.database_operations)), "")
    if isinstance(operation, REMOVES):
        return "old code still uses it; stop using it in one release, take it away in the next"
    if isinstance(operation, RESTRICTS):
        return "old code may write what it refuses"
    if isinstance(operation, operations.AddField):
        return _added(operation.field)
    if isinstance(operation, operations.AlterField):
        return _altered(
            _field(state.models[app, operation.model_name_lower], operation.name), operation.field
        )
    if isinstance(operation, operations.RunSQL):
        return "what it does to old code is unknown"
    return ""


def _field(model: ModelState, name: str) -> models.Field[Any, Any]:
    found: models.Field[Any, Any] = model.fields[name]
    return found


def _added(field: models.Field[Any, Any]) -> str:
    if field.many_to_many or field.null:
        return ""
    if field.db_default is NOT_PROVIDED:
        return "old code inserts rows without it; give it db_default or null=True"
    return "old code writes the same value into every row" if field.unique else ""


def _altered(old: models.Field[Any, Any], new: models.Field[Any, Any]) -> str:
    if old.null and not new.null and new.db_default is NOT_PROVIDED:
        return "old code writes NULL"
    if new.unique and not old.unique:
        return "old code may write the same value twice"
    if old.get_internal_type() != new.get_internal_type():
        return "old code reads and writes another type"
    if (new.max_length or 0) < (old.max_length or 0):
        return "old code writes longer texts"
    return ""


__all__ = ["unsafe"]
