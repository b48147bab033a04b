"""App configuration of the composition root."""

from contextlib import suppress
from importlib import import_module

from django.apps import AppConfig
from django.conf import settings


class PortalConfig(AppConfig):
    """Settings, URLs, system checks and start-up commands."""

    name = "portal"

    def ready(self) -> None:
        """Bind tasks to the Celery application and register the system checks."""
        import_module("portal.celery")
        import_module("portal.checks")
        with suppress(OSError):  # a read-only DATA_DIR is told by preflight and by the checks
            settings.STATIC_ROOT.mkdir(exist_ok=True)
