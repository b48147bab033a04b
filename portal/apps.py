"""App configuration of the composition root."""

from contextlib import suppress
from importlib import import_module

from django.apps import AppConfig, apps
from django.conf import settings
from django.db import connections
from django.db.models.signals import post_migrate, pre_migrate

from portal import database_roles


class PortalConfig(AppConfig):
    """Settings, URLs, system checks and start-up commands."""

    name = "portal"

    def ready(self) -> None:
        """Bind tasks to the Celery application and register the system checks."""
        import_module("portal.celery")
        import_module("portal.checks")
        pre_migrate.connect(_let_statements_take_long)
        # The signal comes after all that migrates, for each app that has models; once is enough.
        post_migrate.connect(database_roles.apply, sender=apps.get_app_config("incidents"))
        with suppress(OSError):  # a read-only DATA_DIR is told by preflight and by the checks
            settings.STATIC_ROOT.mkdir(exist_ok=True)


def _let_statements_take_long(*, using: str, **_given: object) -> None:
    """Lift DATABASE_STATEMENT_TIMEOUT from the connection that migrates: an index may take its time."""
    if connections[using].vendor == "postgresql":
        with connections[using].cursor() as cursor:
            cursor.execute("SET statement_timeout = 0")
