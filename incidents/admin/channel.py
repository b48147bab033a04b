"""Channels in the admin: only administrators see them, addresses are never shown, *Test* tells its result."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from incidents import channel_tests
from incidents.admin.base import LABELS, HistoryAdmin, action, display
from incidents.admin.channel_form import ChannelForm
from incidents.models import Channel, Delivery, DeliveryState

#: Channels tested by one request.
TESTS_MAX = 20
SEALED = ("address", "signing_secret", "shown_address", "address_set_at")


@admin.register(Channel)
class ChannelAdmin(HistoryAdmin):
    """Routes and sealed addresses. Channels of ``NOTIFY_URLS`` are only read and tested here."""

    #: Seconds that the page waits for the result of a test.
    wait_s = 10.0

    form = ChannelForm
    list_display = (
        *("name", "kind", "shown_address", "enabled", "language", "min_severity", "services", "step"),
        *("position", "shown_test"),
    )
    list_filter = ("kind", "enabled", "language")
    search_fields = ("name",)
    actions = ("test_chosen",)
    actions_submit_line = ("test",)
    readonly_fields = ("shown_address", "address_set_at", "shown_test")
    fieldsets = (
        (None, {"fields": ("name", "kind", "enabled")}),
        (
            gettext_lazy("Address"),
            {"fields": (("shown_address", "address_set_at"), "new_address", "new_secret", "shown_test")},
        ),
        (
            gettext_lazy("Route"),
            {
                "fields": (
                    *("language", "min_severity", "services", ("hours_from", "hours_to"), "weekdays_only"),
                    *("step", "position", "per_hour"),
                )
            },
        ),
    )

    def has_change_permission(self, request: HttpRequest, obj: Channel | None = None) -> bool:
        """Whoever may change channels, but not those of the environment."""
        return super().has_change_permission(request, obj) and not _is_external(obj)

    def has_delete_permission(self, request: HttpRequest, obj: Channel | None = None) -> bool:
        """As for changing."""
        return super().has_delete_permission(request, obj) and not _is_external(obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Channel | None = None) -> tuple[str, ...]:
        """Keep the kind of a channel that exists."""
        return (*self.readonly_fields, "kind") if obj else self.readonly_fields

    def get_fieldsets(self, request: HttpRequest, obj: Channel | None = None) -> Any:
        """Leave the write-only fields out where nothing can be written."""
        if obj is None or self.has_change_permission(request, obj):
            return super().get_fieldsets(request, obj)
        hidden = {"new_address", "new_secret"}
        return tuple(
            (title, {**rest, "fields": tuple(one for one in rest["fields"] if one not in hidden)})
            for title, rest in super().get_fieldsets(request, obj)
        )

    def revert_disabled(self, request: HttpRequest, obj: Channel | None = None) -> bool:
        """History only tells: an old version has no address to go back to."""
        return True

    def get_urls(self) -> list[URLPattern]:
        """Add the page that waits for a test."""
        view = self.admin_site.admin_view(self.tested)
        own = path("<int:pk>/tested/<int:delivery>/", view, name="incidents_channel_tested")
        return [own, *super().get_urls()]

    def get_actions_submit_line(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Test what was saved, not what is being entered for the first time."""
        return super().get_actions_submit_line(request, object_id) if object_id else []

    def save_model(self, request: HttpRequest, obj: Channel, form: ModelForm[Any], change: bool) -> None:
        """Write what changed and the sealed address; show a secret that was made, once."""
        if change:
            own = {field.name for field in Channel._meta.concrete_fields}
            names = own.intersection(form.changed_data) | (
                set(SEALED) if {"new_address", "new_secret"} & set(form.changed_data) else set()
            )
            if names:
                obj.save(update_fields=sorted(names))
        else:
            obj.save()
        if made := getattr(form, "made_secret", ""):
            text = _("Copy the signing secret now, it is not shown again.")
            messages.warning(request, format_html("{}<br><code>{}</code>", text, made))
        for one in self.get_actions_submit_line(request, obj.pk) if change else ():
            if one.action_name in request.POST:
                one.method(request, obj)

    def response_add(self, request: HttpRequest, obj: Channel, post_url_continue: str | None = None) -> Any:
        """Go to the page that has the *Test* button."""
        messages.success(request, _("The channel was saved. Press Test to see whether it works."))
        return redirect("admin:incidents_channel_change", obj.pk)

    def response_change(self, request: HttpRequest, obj: Channel) -> Any:
        """Wait for the test elsewhere: here the transaction is still open."""
        if started := getattr(request, "started_test", None):
            return redirect("admin:incidents_channel_tested", obj.pk, started)
        return super().response_change(request, obj)

    @action(description=gettext_lazy("Test"), permissions=["change"])
    def test(self, request: HttpRequest, obj: Channel) -> None:
        """Send a test message as it was saved just now."""
        delivery = channel_tests.start(channel=obj, by=request.user.get_username(), at=timezone.now())
        request.started_test = delivery.pk  # type: ignore[attr-defined] # ours

    @admin.action(description=gettext_lazy("Test the chosen channels"), permissions=["change"])
    def test_chosen(self, request: HttpRequest, queryset: QuerySet[Channel]) -> None:
        """Send a test message to each; the list shows what came of it."""
        for channel in queryset[:TESTS_MAX]:
            channel_tests.start(channel=channel, by=request.user.get_username(), at=timezone.now())
        messages.info(request, _("The tests are on their way; reload the list to see their results."))

    def tested(self, request: HttpRequest, pk: int, delivery: int) -> HttpResponse:
        """Say what came of a test."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        channel = get_object_or_404(Channel, pk=pk)
        found = get_object_or_404(Delivery, pk=delivery, channel=channel)
        done = channel_tests.wait(found, self.wait_s)
        level = {DeliveryState.SENT: messages.SUCCESS, DeliveryState.FAILED: messages.ERROR}
        text = f"{_('Test')}: {_result(done)}"
        messages.add_message(request, level.get(DeliveryState(done.state), messages.WARNING), text)
        return redirect("admin:incidents_channel_change", pk)

    @display(description=gettext_lazy("last test"), label=LABELS)
    def shown_test(self, obj: Channel) -> tuple[str, str] | str:
        """The result of the newest test."""
        found = channel_tests.last(obj) if obj.pk else None
        return (found.state, _result(found)) if found else "—"


def _is_external(obj: object) -> bool:
    """Whether it is a channel of the environment; for its buttons unfold gives an id instead of a row."""
    return isinstance(obj, Channel) and obj.is_external


def _result(delivery: Delivery) -> str:
    at = timezone.localtime(delivery.delivered_at or delivery.message.created_at)
    parts = [str(delivery.get_state_display()), at.strftime("%Y-%m-%d %H:%M:%S %Z"), delivery.last_error]
    return " · ".join(part for part in parts if part)
