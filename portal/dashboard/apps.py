"""App configuration of portal.dashboard."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DashboardConfig(AppConfig):
    """See ``portal/dashboard/__init__.py``."""

    name = "portal.dashboard"
    label = "dashboard"
    verbose_name = _("Dashboard")
