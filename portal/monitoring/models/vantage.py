"""Where a probe stands."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Vantage(models.TextChoices):
    """From where an endpoint is reached; the pattern over vantages locates a fault."""

    INSIDE = "inside", _("Inside")
    HOST = "host", _("Host")
    PUBLIC = "public", _("Public address")
    DOMAIN = "domain", _("Domain")
