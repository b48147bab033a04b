"""App configuration of the incident records."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class IncidentsConfig(AppConfig):
    """Incidents, their evidence, reports and prevention checklists."""

    name = "incidents"
    verbose_name = _("Incidents")
