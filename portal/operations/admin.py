"""The audit of the live log, to be looked at only."""

from __future__ import annotations

from django.contrib import admin

from portal.monitoring.admin_base import ViewOnly
from portal.operations.models import TailOpening


@admin.register(TailOpening)
class TailOpeningAdmin(ViewOnly):
    """Who looked into whose log, and when."""

    list_display = ["at", "username", "service_name"]
    search_fields = ["username", "service_name"]
    date_hierarchy = "at"
