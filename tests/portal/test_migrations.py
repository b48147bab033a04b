"""Every migration of ours goes back, with rows in its tables, and forth again."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.db import connection, models
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

from portal.backup.tables import DEFAULTS, carried
from tests.databases import migrated
from tests.portal.elsewhere import connected
from tests.portal.world import fill

OURS = ("gateway", "incidents", "monitoring", "operations", "dashboard")


@pytest.fixture(autouse=True)
def unblocked(django_db_blocker):
    """Databases of the test's own."""
    with django_db_blocker.unblock():
        yield


def counts():
    return {
        model._meta.label_lower: models.QuerySet(model).count()
        for model in carried(history=True)
        if model._meta.label_lower in DEFAULTS - {"django_celery_beat.periodictasks"}
    }


def columns():
    with connection.cursor() as cursor:
        return {
            model._meta.db_table: [
                c.name for c in connection.introspection.get_table_description(cursor, model._meta.db_table)
            ]
            for label in OURS
            for model in apps.get_app_config(label).get_models(include_auto_created=True)
            if model._meta.managed
        }


def test_every_operation_says_how_it_is_undone():
    loader = MigrationLoader(None)
    stuck = [
        f"{app}.{name}: {operation.describe()}"
        for (app, name), migration in loader.disk_migrations.items()
        if app in OURS
        for operation in migration.operations
        if not operation.reversible
    ]
    assert stuck == []


@pytest.mark.fleet
@pytest.mark.parametrize("vendor", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_all_go_back_to_nothing_with_rows_and_forth_again(vendor, tmp_path, request, settings, seed_report):
    settings.DATA_DIR = tmp_path
    if vendor == "postgresql":
        url = request.getfixturevalue("migrated_postgres_url")
    else:
        migrated(tmp_path / "db.sqlite3")
        url = f"sqlite:///{tmp_path / 'db.sqlite3'}"
    with connected(url):
        before, shape = counts(), columns()
        fill(seed_report)

        executor = MigrationExecutor(connection)
        leaves = executor.loader.graph.leaf_nodes()
        executor.migrate([(app, None) for app in OURS])
        left = [
            name
            for name in connection.introspection.table_names()
            if name.startswith(tuple(f"{a}_" for a in OURS))
        ]
        assert left == []

        executor = MigrationExecutor(connection)
        executor.migrate(leaves)
        assert columns() == shape
        assert {**counts(), "auth.group_permissions": 0} == {**before, "auth.group_permissions": 0}
