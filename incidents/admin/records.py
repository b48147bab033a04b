"""Evidence, timeline and messages: written by workers, only read here."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import TabularInline

from incidents import evidence_files, resend
from incidents.admin.base import LABELS, ReadOnlyAdmin, display
from incidents.evidence import EvidenceDamaged, load, raw_bytes
from incidents.models import Delivery, DeliveryState, Evidence, Notification, TimelineEvent
from incidents.reports.appendix import sentence

#: Characters of a bundle shown on its page; the download has all.
PREVIEW = 20_000


@admin.register(Evidence)
class EvidenceAdmin(ReadOnlyAdmin):
    """Frozen bundles; editors may download them."""

    list_display = ("__str__", "incident", "captured_at", "size", "partial", "note")
    list_filter = ("kind", "partial", "captured_at")
    list_select_related = ("incident",)
    search_fields = ("subject", "sha256", "=incident__number")
    fields = (
        "incident",
        "kind",
        "subject",
        "captured_at",
        "size",
        "sha256",
        "partial",
        "note",
        "file",
        "content",
    )
    readonly_fields = ("file", "content")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Evidence]:
        """Leave the payloads where they are."""
        found: QuerySet[Evidence] = super().get_queryset(request)
        return found.defer("payload")

    def get_urls(self) -> list[URLPattern]:
        """Add the download."""
        view = self.admin_site.admin_view(self.download)
        own = path("<int:pk>/download/", view, name="incidents_evidence_download")
        return [own, *super().get_urls()]

    def download(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send the whole bundle to somebody who may edit reports, and note who took it along."""
        actor = request.user
        if not actor.has_perm(evidence_files.PERMISSION) or not isinstance(actor, AbstractBaseUser):
            raise PermissionDenied
        evidence = get_object_or_404(Evidence.objects.select_related("incident"), pk=pk)
        try:
            raw = raw_bytes(evidence)
        except EvidenceDamaged as error:
            messages.error(request, str(error))
            return redirect("admin:incidents_evidence_change", pk)
        name = evidence_files.file_name(evidence)
        evidence_files.note_download(incident=evidence.incident, what=name, at=timezone.now(), actor=actor)
        response = HttpResponse(raw, content_type="application/json")
        response["Content-Disposition"] = f'attachment; filename="{name}"'
        return response

    @display(description=gettext_lazy("file"))
    def file(self, obj: Evidence) -> str:
        """Link to the download."""
        url = reverse("admin:incidents_evidence_download", args=[obj.pk])
        return format_html('<a class="text-primary-600" href="{}">{}</a>', url, _("Download"))

    @display(description=gettext_lazy("content"))
    def content(self, obj: Evidence) -> str:
        """The bundle, verified and indented."""
        try:
            text = json.dumps(load(obj), ensure_ascii=False, indent=1)
        except EvidenceDamaged as error:
            text = str(error)
        return format_html('<pre class="whitespace-pre-wrap break-all text-xs">{}</pre>', text[:PREVIEW])


@admin.register(TimelineEvent)
class TimelineEventAdmin(ReadOnlyAdmin):
    """Append-only."""

    list_display = ("at", "incident", "kind", "words", "actor")
    list_filter = ("kind", "at", "starred")
    list_select_related = ("incident", "actor")
    search_fields = ("text", "=incident__number")
    fields = ("incident", "at", "kind", "words", "actor", "evidence", "starred", "data")
    readonly_fields = ("words",)

    @display(description=gettext_lazy("text"))
    def words(self, obj: TimelineEvent) -> str:
        """The event worded from its values."""
        return sentence(obj)


class DeliveryInline(TabularInline):  # type: ignore[misc] # unfold carries no types
    """What came of it on each channel."""

    model = Delivery
    fk_name = "message"
    fields = readonly_fields = (
        *("label", "state", "attempts", "claimed_at", "delivered_at", "next_attempt_at", "last_error"),
        "instead",
    )
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody."""
        return False


@admin.register(Notification)
class NotificationAdmin(ReadOnlyAdmin):
    """The outbox. A message that failed can be sent again."""

    list_display = ("subject", "incident", "kind", "shown_state", "created_at", "delivered_at", "last_error")
    list_filter = ("state", "kind", "created_at")
    list_select_related = ("incident",)
    search_fields = ("subject", "=incident__number")
    actions = ("send_again",)
    inlines = (DeliveryInline,)
    fields = (
        *("incident", "kind", "occurrence", "sequence", "subject", "body", "state", "created_at"),
        *("next_attempt_at", "routed_at", "delivered_at", "last_error"),
    )

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Operators act on incidents, and so on their messages."""
        return bool(request.user.has_perm("incidents.change_incident"))

    @display(description=gettext_lazy("delivery"), ordering="state", label=LABELS)
    def shown_state(self, obj: Notification) -> tuple[str, str]:
        """Delivery as a word with a colour."""
        return obj.state, str(DeliveryState(obj.state).label)

    @admin.action(description=gettext_lazy("Send again"), permissions=["operate"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Put failed messages and those without a channel back; what was delivered stays delivered."""
        now, user = timezone.now(), request.user
        if not isinstance(user, AbstractBaseUser):
            raise PermissionDenied
        chosen = queryset.select_related("incident").order_by("pk")
        count = sum(resend.retry_message(message=one, at=now, actor=user) for one in chosen)
        messages.success(request, _("%(n)d messages wait for delivery.") % {"n": count})
