"""The audit, to be looked at only."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.contrib.admin import actions
from django.contrib.admin.models import DELETION, LogEntry
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy

from incidents import audit_signals
from incidents.admin.base import ReadOnlyAdmin, display
from incidents.models import AuditEntry

#: Rows deleted at once that are audited one by one.
DELETED_MAX = 1_000


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """Append-only; ``manage.py verify_audit`` says whether it is whole."""

    list_display = ("seq", "at", "actor_name", "action", "target", "reason")
    list_filter = ("action", "at")
    search_fields = ("actor_name", "action", "target", "reason", "=seq")
    date_hierarchy = "at"
    ordering = ("-seq",)
    fields = (
        *("seq", "at", "actor_name", "action", "target", "reason", "values_before", "values_after"),
        *("key_id", "previous", "mac"),
    )
    readonly_fields = ("values_before", "values_after")

    @display(description=gettext_lazy("before"))
    def values_before(self, obj: AuditEntry) -> str:
        """The values, indented."""
        return _block(obj.before)

    @display(description=gettext_lazy("after"))
    def values_after(self, obj: AuditEntry) -> str:
        """The values, indented."""
        return _block(obj.after)


@admin.action(permissions=["delete"], description=gettext_lazy("Delete selected %(verbose_name_plural)s"))
def delete_selected(modeladmin: Any, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
    """Delete as Django does, and audit each row: Django logs several rows at once, which sends no signal."""
    logged = LogEntry.objects.filter(user_id=request.user.pk or 0, action_flag=DELETION)
    last = logged.order_by("-pk").values_list("pk", flat=True).first() or 0
    answer: HttpResponse | None = actions.delete_selected(modeladmin, request, queryset)
    new = list(logged.filter(pk__gt=last).order_by("pk")[:DELETED_MAX])
    if answer is None and len(new) > 1:
        for entry in new:
            audit_signals.logged(entry)
    return answer


admin.site.disable_action("delete_selected")
admin.site.add_action(delete_selected, "delete_selected")


def _block(values: dict[str, Any] | None) -> str:
    text = "-" if values is None else json.dumps(values, ensure_ascii=False, indent=1)
    return format_html('<pre class="whitespace-pre-wrap break-all text-xs">{}</pre>', text)
