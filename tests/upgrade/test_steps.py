"""Migrations since the first that an upgrade may meet: code of the release before goes on while they run.

``BEFORE`` is where no installation has to come from with its web processes running. A migration that is
safe for another reason than its operations tell is listed in ``DECLARED`` with that reason.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.db import models
from django.db.migrations import Migration, operations
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ModelState, ProjectState

from tests.upgrade.steps import unsafe

#: The newest migration of each app of ours that is not judged.
BEFORE = {
    "gateway": "0003_feed_operations",
    "incidents": "0013_mitigated_time",
    "dashboard": "0003_watchers",
    "monitoring": "0016_prober_silent",
    "operations": "0003_drills",
}
#: Migration and why old code survives it: ("app", "name"): "reason".
DECLARED: dict[tuple[str, str], str] = {}


def judged(loader: MigrationLoader) -> list[tuple[str, str]]:
    """Return the migrations of ours after ``BEFORE``."""
    old = {node for app, name in BEFORE.items() for node in loader.graph.forwards_plan((app, name))}
    return sorted(node for node in loader.disk_migrations if node[0] in BEFORE and node not in old)


def findings(loader: MigrationLoader, node: tuple[str, str]) -> list[str]:
    """Return what is unsafe in one migration."""
    state = loader.project_state(node, at_end=False)
    return list(unsafe(loader.disk_migrations[node], state))


def test_old_code_survives_each_new_migration() -> None:
    loader = MigrationLoader(None)
    found = {node: findings(loader, node) for node in judged(loader) if node not in DECLARED}
    assert not {node: why for node, why in found.items() if why}


def test_what_is_declared_exists_and_has_a_reason() -> None:
    loader = MigrationLoader(None)
    assert set(DECLARED) <= set(judged(loader))
    assert all(reason.strip() for reason in DECLARED.values())


def test_every_app_with_tables_of_ours_is_judged() -> None:
    loader = MigrationLoader(None)
    ours = {
        app
        for app, name in loader.disk_migrations
        if loader.disk_migrations[app, name].__module__.startswith(("portal.", "incidents.", "gateway."))
    }
    assert ours == set(BEFORE)


def test_the_check_knows_an_unsafe_migration_of_the_past() -> None:
    loader = MigrationLoader(None)
    found = findings(loader, ("incidents", "0011_report"))
    assert any("revision" in one and "db_default" in one for one in found)
    assert not any("signed_at" in one for one in found)


def added(field):
    """Return the operation that adds ``field`` to a table that exists."""
    return operations.AddField("thing", "colour", field)


@pytest.mark.parametrize(
    ("operation", "safe"),
    [
        (added(models.CharField(max_length=9, default="red")), False),
        (added(models.CharField(max_length=9, db_default="red")), True),
        (added(models.CharField(max_length=9, null=True)), True),
        (added(models.CharField(max_length=9, null=True, unique=True)), True),
        (
            added(models.CharField(max_length=9, db_default="red", unique=True)),
            False,
        ),
        (operations.AlterField("thing", "size", models.IntegerField()), False),
        (operations.AlterField("thing", "size", models.IntegerField(null=True, unique=True)), False),
        (operations.AlterField("thing", "size", models.IntegerField(null=True, verbose_name="x")), True),
        (operations.AlterField("thing", "size", models.BigIntegerField(null=True)), False),
        (operations.AlterField("thing", "name", models.CharField(max_length=20)), True),
        (operations.AlterField("thing", "name", models.CharField(max_length=5)), False),
        (operations.RemoveField("thing", "size"), False),
        (operations.RenameField("thing", "size", "length"), False),
        (operations.RenameModel("thing", "part"), False),
        (operations.DeleteModel("thing"), False),
        (operations.AlterUniqueTogether("thing", {("name", "size")}), False),
        (
            operations.AddConstraint("thing", models.UniqueConstraint(fields=["name"], name="one_name")),
            False,
        ),
        (operations.AddIndex("thing", models.Index(fields=["name"], name="by_name")), True),
        (operations.RunSQL("SELECT 1"), False),
    ],
)
def test_operations_are_judged_by_what_code_before_them_does(operation, safe) -> None:
    assert bool(list(unsafe(_migration(operation), _state()))) is not safe


def test_a_table_of_the_same_migration_may_be_restricted() -> None:
    made = operations.CreateModel("part", [("id", models.BigAutoField(primary_key=True))])
    added = operations.AddField("part", "colour", models.CharField(max_length=9, default="red"))
    assert not list(unsafe(_migration(made, added), _state()))


def _migration(*given) -> Migration:
    class Next(Migration):
        operations = given

    return Next("0002_next", "shop")


def _state() -> ProjectState:
    fields: list[tuple[str, models.Field[Any, Any]]] = [
        ("id", models.BigAutoField(primary_key=True)),
        ("name", models.CharField(max_length=9)),
        ("size", models.IntegerField(null=True)),
    ]
    state = ProjectState()
    state.add_model(ModelState("shop", "thing", fields))
    return state
