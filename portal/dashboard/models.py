"""No tables: only the portal's two permissions."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Access(models.Model):
    """Carrier of the permissions; it has no table."""

    class Meta:
        managed = False
        default_permissions = ()
        permissions = [
            ("view_portal", _("May see the portal's pages")),
            ("operate", _("May act on incidents and on the gateway")),
        ]
        verbose_name = _("access")
        verbose_name_plural = _("access")

    def __str__(self) -> str:
        return "access"
