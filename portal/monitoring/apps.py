"""App configuration of portal.monitoring."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MonitoringConfig(AppConfig):
    """See ``portal/monitoring/__init__.py``."""

    name = "portal.monitoring"
    label = "monitoring"
    verbose_name = _("Monitoring")

    def ready(self) -> None:
        """Let reminders of incidents know what monitoring holds back."""
        from incidents import quieting
        from portal.monitoring.muting import muted  # models are ready only now

        quieting.register(muted)
