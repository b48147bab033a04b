"""App configuration of portal.monitoring."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MonitoringConfig(AppConfig):
    """See ``portal/monitoring/__init__.py``."""

    name = "portal.monitoring"
    label = "monitoring"
    verbose_name = _("Monitoring")
