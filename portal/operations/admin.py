"""What operators looked into, had done and had played, to be looked at only."""

from __future__ import annotations

from django.contrib import admin

from portal.monitoring.admin_base import ViewOnly
from portal.operations.models import DrillRun, OperatorAction, TailOpening


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


@admin.register(DrillRun)
class DrillRunAdmin(ViewOnly):
    """Every drill with its raw measurements."""

    list_display = ["started_at", "drill", "state", "username", "reason", "incident"]
    list_filter = ["drill", "state"]
    search_fields = ["username", "reason"]
    date_hierarchy = "started_at"
    list_select_related = ["incident"]
