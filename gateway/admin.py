"""Feed keys, market days, and the records of disconnections and commands in the admin."""

from __future__ import annotations

from functools import partial
from typing import Any

import redis
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from simple_history.admin import SimpleHistoryAdmin
from unfold.admin import ModelAdmin
from unfold.decorators import action, display

from gateway import auth, keys
from gateway.feed_key_form import FeedKeyForm
from gateway.feed_store import sync_client
from gateway.models import FeedDisconnection, FeedKey, GatewayCommand, MarketDay

#: Keys revoked by one request at most.
KEYS_MAX = 1000
#: Fields whose change connected clients must hear of.
RIGHTS = frozenset({"types", "items", "max_connections", "max_items", "expires_at"})


@admin.register(FeedKey)
class FeedKeyAdmin(SimpleHistoryAdmin, ModelAdmin):  # type: ignore[misc] # they carry no types
    """Issue and revoke feed keys. They are never deleted, so that their use stays explained.

    The secret is shown once, in a message after saving.
    """

    form = FeedKeyForm
    list_display = ["name", "owner", "state", "created_at", "expires_at", "last_used_at"]
    list_filter = ["created_at", "revoked_at"]
    list_select_related = ["owner"]
    search_fields = ["name", "app_key"]
    autocomplete_fields = ["owner"]
    readonly_fields = ["app_key", "created_at", "last_used_at", "revoked_at"]
    actions = ["revoke"]
    actions_detail = ["revoke_one"]
    fieldsets = [
        (None, {"fields": ["name", "owner", "expires_at"]}),
        (_("Rights"), {"fields": ["types", "items"]}),
        (_("Quotas"), {"fields": ["max_connections", "max_items"]}),
        (_("Use"), {"fields": ["app_key", "created_at", "last_used_at", "revoked_at"]}),
    ]

    def has_delete_permission(self, request: HttpRequest, obj: FeedKey | None = None) -> bool:
        """Keys are revoked instead."""
        return False

    def revert_disabled(self, request: HttpRequest, obj: FeedKey | None = None) -> bool:
        """History only tells: going back to old rights is a change like any other."""
        return True

    def history_form_view(
        self, request: HttpRequest, object_id: str, version_id: str, extra_context: Any = None
    ) -> HttpResponse:
        """Refuse to write: the library only hides its button."""
        if request.method == "POST":
            raise PermissionDenied
        answer: HttpResponse = super().history_form_view(request, object_id, version_id, extra_context)
        return answer

    def get_urls(self) -> list[URLPattern]:
        """Add the question before revoking."""
        view = self.admin_site.admin_view(self.confirm)
        return [path("revoke/", view, name="gateway_feedkey_revoke"), *super().get_urls()]

    def save_model(self, request: HttpRequest, obj: FeedKey, form: ModelForm[FeedKey], change: bool) -> None:
        """Give a new key its pair and show the secret; tell connections that a key's rights changed."""
        if change:
            if form.changed_data:
                # Only what the form changed, so that a key revoked meanwhile stays revoked.
                obj.save(update_fields=form.changed_data)
            if RIGHTS.intersection(form.changed_data):
                transaction.on_commit(partial(self._tell, request, obj))
            return
        secret = obj.make_secret()
        super().save_model(request, obj, form, change)
        text = _("Copy the secret now, it is not shown again.")
        pair = format_html(
            "{}<br><code>app_key={}</code><br><code>secret_key={}</code>", text, obj.app_key, secret
        )
        messages.warning(request, pair)

    def _tell(self, request: HttpRequest, key: FeedKey) -> None:
        try:
            sync_client().publish(keys.KEYS_CHANNEL, str(key.pk))
        except redis.RedisError:
            text = _("Redis does not answer: connections of %(name)s follow within a minute.")
            self.message_user(request, text % {"name": key.name}, messages.WARNING)

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

    @action(description=_("Revoke and disconnect"), permissions=["change"])  # type: ignore[untyped-decorator] # unfold carries no types
    def revoke(self, request: HttpRequest, queryset: QuerySet[FeedKey]) -> HttpResponse:
        """Ask before the chosen keys are revoked."""
        chosen = queryset.filter(revoked_at=None)
        return self._ask(request, list(chosen))

    @action(description=_("Revoke and disconnect"), icon="block", permissions=["change"])  # type: ignore[untyped-decorator] # unfold carries no types
    def revoke_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask before this key is revoked."""
        key = get_object_or_404(FeedKey, pk=object_id)
        return self._ask(request, [key] if key.revoked_at is None else [])

    def confirm(self, request: HttpRequest) -> HttpResponse:
        """Revoke what was confirmed; the keys come as ``key`` fields of a POST."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        changelist = reverse("admin:gateway_feedkey_changelist")
        given = request.POST.getlist("key")[:KEYS_MAX] if request.method == "POST" else []
        numbers = [int(text) for text in given if text.isascii() and text.isdigit() and len(text) < 19]
        for key in FeedKey.objects.filter(pk__in=numbers, revoked_at=None):
            self._revoke(request, key)
        return redirect(changelist)

    def _ask(self, request: HttpRequest, chosen: list[FeedKey]) -> HttpResponse:
        if not chosen:
            self.message_user(request, _("There is no key to revoke among these."), messages.INFO)
            return redirect("admin:gateway_feedkey_changelist")
        context = {
            **self.admin_site.each_context(request),
            "title": _("Revoke and disconnect"),
            "opts": self.opts,
            "keys": chosen,
        }
        return render(request, "admin/gateway/feedkey/revoke.html", context)

    def _revoke(self, request: HttpRequest, key: FeedKey) -> None:
        try:
            auth.revoke_key(sync_client(), key)
        except redis.RedisError:
            text = _("Redis does not answer: connections of %(name)s end within a minute.")
            self.message_user(request, text % {"name": key.name}, messages.WARNING)
        else:
            self.message_user(request, _("Revoked %(name)s.") % {"name": key.name}, messages.SUCCESS)
        self.log_change(request, key, str(_("Revoked and disconnected")))


@admin.register(FeedDisconnection)
class FeedDisconnectionAdmin(ModelAdmin):  # type: ignore[misc] # unfold carries no types
    """Connections that operators ended; written by the operators' page, only read here."""

    list_display = ["at", "key_name", "address", "actor_name", "reason", "may_return", "outcome"]
    list_filter = ["at", "outcome", "may_return"]
    search_fields = ["key_name", "address", "actor_name", "reason"]
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: FeedDisconnection | None = None) -> bool:
        """Nobody."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: FeedDisconnection | None = None) -> bool:
        """Nobody."""
        return False


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
