"""What operators did that leaves no other trace."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from portal.monitoring.models import Service
from portal.operations.drill_model import DrillKind, DrillRun, DrillState

__all__ = ["DrillKind", "DrillRun", "DrillState", "TailOpening"]


class TailOpening(models.Model):
    """Somebody opened the live log of a service. Names are copied: the row outlives both."""

    at = models.DateTimeField(_("opened"))
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("person")
    )
    username = models.CharField(_("name"), max_length=150)
    service = models.ForeignKey(
        Service, models.SET_NULL, null=True, related_name="+", verbose_name=_("service")
    )
    service_name = models.CharField(_("service name"), max_length=200)

    class Meta:
        verbose_name = _("opened live log")
        verbose_name_plural = _("opened live logs")
        ordering = ["-at", "-pk"]

    def __str__(self) -> str:
        return f"{self.username}: {self.service_name}"
