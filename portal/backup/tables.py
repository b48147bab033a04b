"""Which tables a backup carries, and which of them the migrations have filled."""

from __future__ import annotations

from django.apps import apps
from django.db import connection, models
from django.db.migrations.loader import MigrationLoader

#: Measurements: large, soon pruned, and nothing else refers to them. Carried with ``--history``.
HISTORY = frozenset(
    {
        "monitoring.endpointhour",
        "monitoring.endpointminute",
        "monitoring.logtemplate",
        "monitoring.observation",
        "monitoring.proberesult",
        "monitoring.servicehour",
        "monitoring.serviceevent",
        "monitoring.serviceminute",
    }
)
#: Never carried: ``migrate`` makes content types and permissions, which rows name by their natural keys; a
#: session's key is a credential; axes' rows count failed logins of the last minutes.
LEFT_OUT = frozenset(
    {
        "auth.permission",
        "axes.accessattempt",
        "axes.accessattemptexpiration",
        "axes.accessfailurelog",
        "axes.accesslog",
        "contenttypes.contenttype",
        "sessions.session",
    }
)
#: What the migrations put there; a restore replaces it. Every other table has to be empty.
DEFAULTS = frozenset(
    {
        "auth.group",
        "auth.group_permissions",
        "django_celery_beat.crontabschedule",
        "django_celery_beat.intervalschedule",
        "django_celery_beat.periodictask",
        "django_celery_beat.periodictasks",
        "incidents.itempack",
        "incidents.packitem",
        "monitoring.rule",
    }
)

Model = type[models.Model]


def carried(*, history: bool) -> list[Model]:
    """Return the models of the tables that are carried, by name; tables between two models are among them."""
    return sorted(
        (
            model
            for model in apps.get_models(include_auto_created=True)
            if model._meta.managed
            and not model._meta.proxy
            and model._meta.label_lower not in LEFT_OUT
            and (history or model._meta.label_lower not in HISTORY)
        ),
        key=lambda model: model._meta.label_lower,
    )


def migration_heads() -> tuple[dict[str, list[str]], list[str]]:
    """Return the newest applied migrations of each app, and the names of those that are not applied."""
    loader = MigrationLoader(connection)
    applied = set(loader.applied_migrations)
    missing = sorted(f"{app}.{name}" for app, name in loader.graph.nodes if (app, name) not in applied)
    heads: dict[str, list[str]] = {}
    for app, name in loader.graph.nodes:
        node = loader.graph.node_map[app, name]
        later = any(child.key[0] == app and child.key in applied for child in node.children)
        if (app, name) in applied and not later:
            heads.setdefault(app, []).append(name)
    return {app: sorted(names) for app, names in sorted(heads.items())}, missing
