"""App configuration of the incident records."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class IncidentsConfig(AppConfig):
    """Incidents, their evidence, reports and prevention checklists."""

    name = "incidents"
    verbose_name = _("Incidents")

    def ready(self) -> None:
        """Fill the role groups whenever permissions may have been added, and listen for what is audited."""
        from incidents import audit_signals
        from incidents.roles import sync_roles  # models are ready only now

        audit_signals.connect()
        post_migrate.connect(sync_roles, dispatch_uid="incidents.sync_roles")
