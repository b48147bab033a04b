"""Admin of services, endpoints, rules and the beat's schedule; what workers write can only be looked at."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db import models
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline
from unfold.decorators import display

from portal.monitoring import engine, services
from portal.monitoring.models import (
    Alert,
    Endpoint,
    LogTemplate,
    Observation,
    Rule,
    RuleState,
    Service,
)

STATE_COLOURS = {
    "running": "success",
    "restarting": "warning",
    "paused": "warning",
    "exited": "danger",
    "gone": "info",
    "unknown": "info",
}
SEVERITY_COLOURS = {"critical": "danger", "warning": "warning", "info": "info"}


class ViewOnly(ModelAdmin):  # type: ignore[misc] # unfold carries no types
    """Rows that workers write: no adding, changing or deleting. Counting them all is not needed either."""

    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Workers add."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes a measurement."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Retention deletes."""
        return False


class HasHistory(ModelAdmin):  # type: ignore[misc] # unfold carries no types
    """Rows that take what workers wrote about them along when they are deleted."""

    def get_deleted_objects(
        self, objs: Iterable[models.Model], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Count what goes with ``objs``: naming each of a service's 35,000 readings would be a page of MBs.

        Workers' rows can be deleted by nobody alone, so their permission is not asked for here.
        """
        rows = list(objs)
        counts = {str(self.opts.verbose_name_plural): len(rows)}
        for related in self.opts.related_objects:
            if related.on_delete is models.CASCADE:
                held = related.related_model._default_manager.filter(**{f"{related.field.name}__in": rows})
                counts[str(related.related_model._meta.verbose_name_plural)] = held.count()
        return [str(row) for row in rows], counts, set(), []


class EndpointInline(TabularInline):  # type: ignore[misc] # unfold carries no types
    """Endpoints on their service's page."""

    model = Endpoint
    extra = 0
    fields = ["name", "kind", "vantage", "url", "enabled", "ok", "detail"]
    readonly_fields = ["ok", "detail"]
    tab = True


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
        "image",
        "runtime_id",
        "labels",
        "discovered_at",
    ]
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
class EndpointAdmin(HasHistory):
    """URLs to probe."""

    list_display = ["name", "service", "kind", "vantage", "url", "result_now", "latency", "enabled", "at"]
    list_filter = ["ok", "kind", "vantage", "enabled"]
    list_select_related = ["service"]
    list_editable = ["enabled"]
    search_fields = ["name", "url", "service__name"]
    autocomplete_fields = ["service"]
    readonly_fields = ["from_label", "at", "ok", "latency_ms", "detail"]
    fieldsets = [
        (None, {"fields": ["name", "service", "kind", "vantage", "url", "enabled"]}),
        (_("Expectation"), {"fields": ["expected_status", "timeout_s", "expect_frame", "send"]}),
        (_("Last probe"), {"fields": ["at", "ok", "latency_ms", "detail", "from_label"]}),
    ]

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


@admin.register(Rule)
class RuleAdmin(HasHistory):
    """Alert rules. A sample is one sweep (5 s); a probe's is one round (10 s)."""

    list_display = [
        "name", "kind", "level", "open_above", "close_below", "open_after", "close_after",
        "service_pattern", "opens_incident", "enabled",
    ]  # fmt: skip
    list_filter = ["kind", "severity", "enabled", "opens_incident"]
    list_editable = ["open_above", "close_below", "open_after", "close_after", "enabled"]
    search_fields = ["name", "service_pattern"]
    fieldsets = [
        (None, {"fields": ["name", "kind", "severity", "service_pattern", "opens_incident", "enabled"]}),
        (_("Thresholds"), {"fields": [("open_above", "close_below"), ("open_after", "close_after")]}),
    ]

    @display(description=_("severity"), label=SEVERITY_COLOURS, ordering="severity")  # type: ignore[untyped-decorator] # unfold: no types
    def level(self, rule: Rule) -> tuple[str, object]:
        """Severity, as a word and a colour."""
        return rule.severity, rule.get_severity_display()

    def save_model(self, request: HttpRequest, obj: Rule, form: ModelForm[Rule], change: bool) -> None:
        """Start afresh when it looks at something else from now on."""
        super().save_model(request, obj, form, change)
        if change and {"kind", "service_pattern"} & set(form.changed_data):
            engine.start_afresh(obj, at=timezone.now())

    def delete_model(self, request: HttpRequest, obj: Rule) -> None:
        """Close its alerts first: deleting must not leave an incident that nothing can clear."""
        engine.close_alerts(Alert.objects.filter(rule=obj), reason="unwatched", at=timezone.now())
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Rule]) -> None:
        """As for one."""
        held = Alert.objects.filter(rule__in=queryset)
        engine.close_alerts(held, reason="unwatched", at=timezone.now())
        super().delete_queryset(request, queryset)


@admin.register(Alert)
class AlertAdmin(ViewOnly):
    """Alerts that opened."""

    list_display = ["text", "level", "service", "opened_at", "closed_at", "closed_reason", "incident_number"]
    list_filter = [("closed_at", admin.EmptyFieldListFilter), "severity", "rule"]
    list_select_related = ["service", "rule"]
    search_fields = ["text", "subject"]
    date_hierarchy = "opened_at"

    @display(description=_("severity"), label=SEVERITY_COLOURS, ordering="severity")  # type: ignore[untyped-decorator] # unfold: no types
    def level(self, alert: Alert) -> tuple[str, object]:
        """Severity, as a word and a colour."""
        return alert.severity, alert.get_severity_display()


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
