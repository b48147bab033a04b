"""Admin of services, endpoints, rules and the beat's schedule; what workers write can only be looked at."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline
from unfold.decorators import display

from portal.monitoring import admin_rules, prober_admin, services
from portal.monitoring.admin_base import HasHistory, HistoryTells, ViewOnly
from portal.monitoring.models import (
    ConfigSnapshot,
    Endpoint,
    LogTemplate,
    Observation,
    RuleState,
    Service,
    ServiceEvent,
)

__all__ = ["admin_rules", "prober_admin"]

STATE_COLOURS = {
    "running": "success",
    "restarting": "warning",
    "paused": "warning",
    "exited": "danger",
    "gone": "info",
    "unknown": "info",
}


class EndpointInline(TabularInline):  # type: ignore[misc] # unfold carries no types
    """Endpoints on their service's page."""

    model = Endpoint
    extra = 0
    fields = ["name", "purpose", "kind", "vantage", "url", "enabled", "ok", "detail"]
    readonly_fields = ["ok", "detail"]
    tab = True

    def get_fields(self, request: HttpRequest, obj: Service | None = None) -> list[str]:
        """Who may not change the URL does not see its secrets."""
        return _masked(self.fields, self.has_change_permission(request, obj))

    @admin.display(description=_("URL"))
    def masked_url(self, endpoint: Endpoint) -> str:
        """The URL without its secrets."""
        return endpoint.masked_url


def _masked(fields: list[str], may_change: bool) -> list[str]:
    return fields if may_change else ["masked_url" if name == "url" else name for name in fields]


@admin.register(Service)
class ServiceAdmin(HasHistory):
    """Services are discovered, not added; here they are switched off or given a resolve window."""

    list_display = ["name", "runtime", "state_now", "health_now", "image", "enabled", "discovered_at"]
    list_filter = ["runtime", "enabled", "state__state", "state__health"]
    list_select_related = ["state"]
    list_editable = ["enabled"]
    search_fields = ["name", "image"]
    readonly_fields = ["runtime", "name", "runtime_id", "image", "labels", "discovered_at"]
    fields = [
        "name",
        "runtime",
        "enabled",
        "resolve_after_s",
        "depends_on",
        "image",
        "runtime_id",
        "labels",
        "discovered_at",
    ]
    autocomplete_fields = ["depends_on"]
    inlines = [EndpointInline]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """The collector adds."""
        return False

    @display(description=_("state"), label=STATE_COLOURS)  # type: ignore[untyped-decorator] # unfold: no types
    def state_now(self, service: Service) -> tuple[str, object] | None:
        """The latest state, as a word and a colour."""
        state = getattr(service, "state", None)
        return (state.state, state.get_state_display()) if state else None

    @display(  # type: ignore[untyped-decorator] # unfold carries no types
        description=_("health"),
        label={"healthy": "success", "unhealthy": "danger", "starting": "warning", "none": "info"},
    )
    def health_now(self, service: Service) -> tuple[str, object] | None:
        """The latest health, as a word and a colour."""
        state = getattr(service, "state", None)
        return (state.health, state.get_health_display()) if state else None

    def save_model(self, request: HttpRequest, obj: Service, form: ModelForm[Service], change: bool) -> None:
        """Close the alerts of a service that is not watched any more."""
        super().save_model(request, obj, form, change)
        if not obj.enabled:
            services.forget([obj], reason="unwatched", at=timezone.now())

    def delete_model(self, request: HttpRequest, obj: Service) -> None:
        """Close its alerts first: deleting must not leave an incident that nothing can clear."""
        services.forget([obj], reason="unwatched", at=timezone.now())
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Service]) -> None:
        """As for one."""
        services.forget(list(queryset), reason="unwatched", at=timezone.now())
        super().delete_queryset(request, queryset)


@admin.register(Endpoint)
class EndpointAdmin(HistoryTells, HasHistory):
    """URLs to probe."""

    list_display = [
        "name", "service", "kind", "vantage", "masked_url", "result_now", "latency", "prober", "enabled",
        "at",
    ]  # fmt: skip
    list_filter = ["ok", "kind", "vantage", "prober", "enabled"]
    list_select_related = ["service", "prober"]
    list_editable = ["enabled"]
    search_fields = ["name", "service__name"]
    autocomplete_fields = ["service"]
    _place = ["name", "service", "purpose", "kind", "vantage", "prober", "url", "host", "enabled"]
    _expected = [
        "expected_status", "body_contains", "timeout_s", "interval_s", "expect_frame", "send", "min_days",
    ]  # fmt: skip
    _seen = [
        "at", "ok", "latency_ms", "detail", "status", "first_frame_ms", "close_code", "expires_at",
        "next_at", "from_label",
    ]  # fmt: skip
    readonly_fields = [*_seen, "masked_url"]
    fieldsets = [
        (None, {"fields": _place}),
        (_("Expectation"), {"fields": _expected}),
        (_("Last probe"), {"fields": _seen}),
    ]

    def get_fieldsets(self, request: HttpRequest, obj: Endpoint | None = None) -> Any:
        """Who may not change the URL does not see its secrets."""
        may = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        return [(title, {"fields": _masked(options["fields"], may)}) for title, options in self.fieldsets]

    def save_model(
        self, request: HttpRequest, obj: Endpoint, form: ModelForm[Endpoint], change: bool
    ) -> None:
        """Probe it at once; only the form's own fields are written, not what probes saw meanwhile."""
        if not change:
            super().save_model(request, obj, form, change)
        elif form.changed_data:
            obj.next_at = None
            obj.save(update_fields=[*form.changed_data, "next_at"])

    @admin.display(description=_("URL"), ordering="url")
    def masked_url(self, endpoint: Endpoint) -> str:
        """The URL without its secrets."""
        return endpoint.masked_url

    @display(description=_("result"), label={"ok": "success", "failed": "danger"})  # type: ignore[untyped-decorator] # unfold: no types
    def result_now(self, endpoint: Endpoint) -> tuple[str, object] | None:
        """The last result, as words and a colour."""
        if endpoint.ok is None:
            return None
        return ("ok" if endpoint.ok else "failed", endpoint.detail)

    @admin.display(description=_("latency (ms)"), ordering="latency_ms")
    def latency(self, endpoint: Endpoint) -> str:
        """Milliseconds of the last probe."""
        return "" if endpoint.latency_ms is None else f"{endpoint.latency_ms:,.0f}"


@admin.register(RuleState)
class RuleStateAdmin(ViewOnly):
    """Where each rule stands on each subject that was ever bad."""

    list_display = ["rule", "subject", "firing", "bad", "good", "value", "since", "sampled_at"]
    list_filter = ["firing", "rule"]
    list_select_related = ["rule"]
    search_fields = ["subject"]


@admin.register(Observation)
class ObservationAdmin(ViewOnly):
    """Readings of the last 48 hours."""

    list_display = ["service", "at", "cpu_percent", "memory_mib", "failing_streak", "log_lines_per_s"]
    list_filter = ["service__runtime"]
    list_select_related = ["service"]
    search_fields = ["service__name"]
    ordering = ["-pk"]

    @admin.display(description=_("memory (MiB)"), ordering="memory_bytes")
    def memory_mib(self, row: Observation) -> str:
        """Memory in MiB."""
        return "" if row.memory_bytes is None else f"{row.memory_bytes / 1024**2:,.1f}"


@admin.register(LogTemplate)
class LogTemplateAdmin(ViewOnly):
    """Log templates of the last ten minutes."""

    list_display = ["template", "service", "count", "baseline", "rising_since", "first_seen", "last_seen"]
    list_select_related = ["service"]
    search_fields = ["template", "service__name"]


@admin.register(ServiceEvent)
class ServiceEventAdmin(ViewOnly):
    """What the runtimes told in the last 14 days."""

    list_display = ["at", "name", "action", "exit_code", "on_purpose", "health", "runtime"]
    list_filter = ["action", "on_purpose", "runtime"]
    search_fields = ["name"]


@admin.register(ConfigSnapshot)
class ConfigSnapshotAdmin(ViewOnly):
    """Configurations that services were started with."""

    list_display = ["service", "last_at", "first_at", "starts", "content_hash"]
    list_select_related = ["service"]
    search_fields = ["service__name"]
