"""App configuration of portal.dashboard."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class DashboardConfig(AppConfig):
    """See ``portal/dashboard/__init__.py``."""

    name = "portal.dashboard"
    label = "dashboard"
    verbose_name = _("Dashboard")

    def ready(self) -> None:
        """Create the roles after a migration, once every permission exists."""
        from portal.dashboard.roles import create_roles

        post_migrate.connect(create_roles, sender=self, dispatch_uid="portal.dashboard.roles")
