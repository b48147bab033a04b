"""What operators looked into and had done, to be looked at only."""

from __future__ import annotations

from django.contrib import admin

from portal.monitoring.admin_base import ViewOnly
from portal.operations.models import OperatorAction, TailOpening


@admin.register(TailOpening)
class TailOpeningAdmin(ViewOnly):
    """Who looked into whose log, and when."""

    list_display = ["at", "username", "service_name"]
    search_fields = ["username", "service_name"]
    date_hierarchy = "at"


@admin.register(OperatorAction)
class OperatorActionAdmin(ViewOnly):
    """What operators had done to services, and what came of it."""

    list_display = ["requested_at", "username", "verb", "service_name", "state", "helped", "note"]
    list_filter = ["state", "verb", "helped"]
    search_fields = ["username", "service_name", "reason"]
    date_hierarchy = "requested_at"
