"""Feed keys, market days and the record of commands in the admin."""

from __future__ import annotations

import redis
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import display

from gateway import auth
from gateway.feed_store import sync_client
from gateway.models import FeedKey, GatewayCommand, MarketDay


@admin.register(FeedKey)
class FeedKeyAdmin(ModelAdmin):  # type: ignore[misc] # unfold carries no types
    """Issue and revoke feed keys. They are never deleted, so that their use stays explained.

    The secret is shown once, in a message after saving.
    """

    list_display = ["name", "owner", "state", "created_at", "expires_at", "last_used_at"]
    list_filter = ["created_at", "revoked_at"]
    list_select_related = ["owner"]
    search_fields = ["name", "app_key"]
    autocomplete_fields = ["owner"]
    readonly_fields = ["app_key", "created_at", "last_used_at", "revoked_at"]
    actions = ["revoke"]
    fieldsets = [
        (None, {"fields": ["name", "owner", "expires_at"]}),
        (_("Rights"), {"fields": ["types", "items"]}),
        (_("Quotas"), {"fields": ["max_connections", "max_items"]}),
        (_("Use"), {"fields": ["app_key", "created_at", "last_used_at", "revoked_at"]}),
    ]

    def has_delete_permission(self, request: HttpRequest, obj: FeedKey | None = None) -> bool:
        """Keys are revoked instead."""
        return False

    def save_model(self, request: HttpRequest, obj: FeedKey, form: ModelForm[FeedKey], change: bool) -> None:
        """Give a new key its pair and show the secret; tell connections that a key's rights changed."""
        secret = None if change else obj.make_secret()
        super().save_model(request, obj, form, change)
        if secret is not None:
            text = _("Copy the secret now, it is not shown again.")
            pair = format_html(
                "{}<br><code>app_key={}</code><br><code>secret_key={}</code>", text, obj.app_key, secret
            )
            messages.warning(request, pair)

    @display(  # type: ignore[untyped-decorator] # unfold carries no types
        description=_("state"), label={"usable": "success", "expired": "warning", "revoked": "danger"}
    )
    def state(self, key: FeedKey) -> tuple[str, object]:
        """Whether the key can be used, as a word and a colour."""
        if key.revoked_at is not None:
            return "revoked", _("revoked")
        if key.is_usable(timezone.now()):
            return "usable", _("usable")
        return "expired", _("expired")

    @admin.action(description=_("Revoke and disconnect"), permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[FeedKey]) -> None:
        """Revoke the chosen keys and end their connections."""
        for key in queryset.filter(revoked_at=None):
            try:
                auth.revoke_key(sync_client(), key)
            except redis.RedisError:
                text = _("Redis does not answer: connections of %(name)s end within a minute.")
                self.message_user(request, text % {"name": key.name}, messages.WARNING)
            else:
                self.message_user(request, _("Revoked %(name)s.") % {"name": key.name}, messages.SUCCESS)


@admin.register(MarketDay)
class MarketDayAdmin(ModelAdmin):  # type: ignore[misc] # unfold carries no types
    """Days that stand over holidays and usual hours; the gateway reads them each minute."""

    list_display = ["date", "venue", "closed", "opens", "closes", "note"]
    list_filter = ["venue", "closed"]
    search_fields = ["note"]
    date_hierarchy = "date"


@admin.register(GatewayCommand)
class GatewayCommandAdmin(ModelAdmin):  # type: ignore[misc] # unfold carries no types
    """Who told the gateway what, and why: to be read only."""

    list_display = ["at", "who", "verb", "slot", "reason", "outcome"]
    list_filter = ["verb", "slot", "outcome"]
    search_fields = ["who", "reason"]
    date_hierarchy = "at"

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Rows come from the pages' buttons alone."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: GatewayCommand | None = None) -> bool:
        """Nobody changes what was done."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: GatewayCommand | None = None) -> bool:
        """Nobody deletes what was done."""
        return False
