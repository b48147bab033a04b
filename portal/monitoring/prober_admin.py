"""Probers elsewhere in the admin: a token is shown once after saving, and can be revoked."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import action, display

from portal.monitoring.admin_base import HistoryTells
from portal.monitoring.models import Endpoint, Prober


class AssignedInline(TabularInline):  # type: ignore[misc] # unfold carries no types
    """What the prober is to probe; each is given to it on its own page."""

    model = Endpoint
    fk_name = "prober"
    extra = 0
    can_delete = False
    fields = readonly_fields = ["name", "kind", "vantage", "masked_url", "enabled", "ok", "at"]

    @admin.display(description=_("URL"))
    def masked_url(self, endpoint: Endpoint) -> str:
        """The URL without its secrets."""
        return endpoint.masked_url

    def has_add_permission(self, request: HttpRequest, obj: Prober | None = None) -> bool:
        """Endpoints are given to a prober on their own page."""
        return False


@admin.register(Prober)
class ProberAdmin(HistoryTells, ModelAdmin):  # type: ignore[misc] # unfold carries no types
    """Probers are revoked, never deleted, so that their results stay explained."""

    list_display = ["name", "note", "state", "created_at", "last_used_at"]
    list_filter = ["revoked_at"]
    search_fields = ["name", "note"]
    fields = ["name", "note", "created_at", "last_used_at", "revoked_at"]
    readonly_fields = ["created_at", "last_used_at", "revoked_at"]
    inlines = [AssignedInline]
    actions = ["revoke"]

    def has_delete_permission(self, request: HttpRequest, obj: Prober | None = None) -> bool:
        """Probers are revoked instead."""
        return False

    def save_model(self, request: HttpRequest, obj: Prober, form: ModelForm[Prober], change: bool) -> None:
        """Give a new prober its token and show it, once."""
        if change:
            if form.changed_data:
                # Only what the form changed, so that one revoked meanwhile stays revoked.
                obj.save(update_fields=form.changed_data)
            return
        token = obj.make_token()
        super().save_model(request, obj, form, change)
        text = _("Copy the token now, it is not shown again.")
        messages.warning(request, format_html("{}<br><code>PROBER_TOKEN={}</code>", text, token))

    @display(description=_("state"), label={"usable": "success", "revoked": "danger"})  # type: ignore[untyped-decorator] # unfold: no types
    def state(self, prober: Prober) -> tuple[str, object]:
        """Whether the token can be used, as a word and a colour."""
        return ("revoked", _("revoked")) if prober.revoked_at else ("usable", _("usable"))

    @action(description=_("Revoke the token"), permissions=["change"])  # type: ignore[untyped-decorator] # unfold carries no types
    def revoke(self, request: HttpRequest, queryset: QuerySet[Prober]) -> None:
        """Make the chosen tokens useless at once; the endpoints become unknown after three intervals."""
        now = timezone.now()
        for prober in queryset.filter(revoked_at=None):
            prober.revoked_at = now
            prober.save(update_fields=["revoked_at"])
            self.log_change(request, prober, str(_("Revoked")))
            self.message_user(request, _("Revoked %(name)s.") % {"name": prober.name}, messages.SUCCESS)
