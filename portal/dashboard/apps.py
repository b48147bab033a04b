"""App configuration of portal.dashboard."""

from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_in
from django.utils.translation import gettext_lazy as _


class DashboardConfig(AppConfig):
    """See ``portal/dashboard/__init__.py``."""

    name = "portal.dashboard"
    label = "dashboard"
    verbose_name = _("Dashboard")

    def ready(self) -> None:
        """Note when each sign-in begins."""
        from portal.dashboard import sessions  # needs the apps

        user_logged_in.connect(sessions.begin, dispatch_uid="portal.dashboard.sessions")
