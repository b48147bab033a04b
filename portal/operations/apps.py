"""App configuration of portal.operations."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class OperationsConfig(AppConfig):
    """See ``portal/operations/__init__.py``."""

    name = "portal.operations"
    label = "operations"
    verbose_name = _("Operations")
