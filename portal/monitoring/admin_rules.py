"""Admin of rules, alerts, silences and maintenance windows; a rule can be tried before it is saved."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from incidents.admin.base import HistoryAdmin
from portal.monitoring import alerting, engine, testfire
from portal.monitoring.admin_base import SEVERITY_COLOURS, HasHistory, ViewOnly
from portal.monitoring.dryrun import LOOK_BACK, MAX_LISTED, dry_run
from portal.monitoring.models import Alert, MaintenanceWindow, Rule, Silence
from portal.monitoring.models.quiet import WEEKDAYS

#: Rules that one request may fire for a test.
MAX_TESTS = 10


@admin.register(Rule)
class RuleAdmin(HasHistory, HistoryAdmin):
    """Alert rules. A sample is one sweep (5 s); a probe's is one round (10 s)."""

    list_display = [
        "name", "kind", "level", "open_above", "close_below", "open_after", "close_after",
        "service_pattern", "opens_incident", "enabled",
    ]  # fmt: skip
    list_filter = ["kind", "severity", "enabled", "opens_incident"]
    list_editable = ["open_above", "close_below", "open_after", "close_after", "enabled"]
    search_fields = ["name", "service_pattern"]
    actions = ["fire_for_test"]
    change_form_outer_before_template = "admin/monitoring/rule_tools.html"
    fieldsets = [
        (None, {"fields": ["name", "kind", "severity", "service_pattern", "opens_incident", "enabled"]}),
        (
            _("Thresholds"),
            {
                "fields": [
                    ("open_above", "close_below"),
                    ("open_after", "close_after"),
                    ("window_bad", "window_size"),
                    ("sustain_s", "ladder"),
                ]
            },
        ),
        (_("When and what to do"), {"fields": ["market", "runbook"]}),
    ]

    def get_urls(self) -> list[URLPattern]:
        """Add the dry-run and the test."""
        own = [
            path("dry-run/", self.admin_site.admin_view(self.dry_run), name="monitoring_rule_dry_run"),
            path(
                "<int:pk>/test-fire/",
                self.admin_site.admin_view(self.test_fire),
                name="monitoring_rule_test_fire",
            ),
        ]
        return [*own, *super().get_urls()]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Tell the tools below the form where to send it."""
        pk = object_id or ""
        tools = {
            "dry_run_url": reverse("admin:monitoring_rule_dry_run") + (f"?rule={pk}" if pk else ""),
            "test_fire_url": reverse("admin:monitoring_rule_test_fire", args=[pk]) if pk.isdigit() else "",
        }
        page: HttpResponse = super().changeform_view(
            request, object_id, form_url, {**(extra_context or {}), **tools}
        )
        return page

    def dry_run(self, request: HttpRequest) -> HttpResponse:
        """Say how often the rule in the posted form, saved or not, would have fired."""
        if request.method != "POST" or not (
            self.has_change_permission(request) or self.has_add_permission(request)
        ):
            raise PermissionDenied
        pk = request.GET.get("rule", "")
        saved = Rule.objects.filter(pk=int(pk)).first() if pk.isdecimal() and len(pk) < 10 else None
        form = self.get_form(request, saved)(request.POST, instance=saved)
        if not form.is_valid():
            return render(request, "admin/monitoring/rule_errors.html", {"form": form})
        context = {
            "result": dry_run(form.save(commit=False), now=timezone.now()),
            "days": LOOK_BACK.days,
            "listed_max": MAX_LISTED,
        }
        return render(request, "portal/includes/dry_run.html", context)

    def test_fire(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send a marked test of one rule to the channels."""
        if request.method != "POST" or not self.has_change_permission(request):
            raise PermissionDenied
        found = get_object_or_404(Rule, pk=pk)
        self._fire(request, [found])
        return redirect("admin:monitoring_rule_change", pk)

    @admin.action(description=_("Fire for a test: a marked message, no incident"), permissions=["change"])
    def fire_for_test(self, request: HttpRequest, queryset: QuerySet[Rule]) -> None:
        """Send marked tests of the chosen rules, at most ten."""
        self._fire(request, list(queryset[:MAX_TESTS]))

    def _fire(self, request: HttpRequest, rules: list[Rule]) -> None:
        for rule in rules:
            if testfire.fire(rule):
                self.log_change(request, rule, [gettext("Fired for a test")])
                messages.success(
                    request, gettext("A test of %(rule)s is on its way to every channel.") % _of(rule)
                )
            else:
                messages.error(
                    request, gettext("No channel is set: add one, then fire %(rule)s for a test.") % _of(rule)
                )

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
        alerting.close_alerts(Alert.objects.filter(rule=obj), reason="unwatched", at=timezone.now())
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Rule]) -> None:
        """As for one."""
        held = Alert.objects.filter(rule__in=queryset)
        alerting.close_alerts(held, reason="unwatched", at=timezone.now())
        super().delete_queryset(request, queryset)


def _of(rule: Rule) -> dict[str, str]:
    return {"rule": rule.name}


@admin.register(Alert)
class AlertAdmin(ViewOnly):
    """Alerts that opened."""

    list_display = [
        "text", "level", "service", "opened_at", "closed_at", "closed_reason", "suppressed_by", "held",
        "incident_number",
    ]  # fmt: skip
    list_filter = [("closed_at", admin.EmptyFieldListFilter), "severity", "held", "rule"]
    list_select_related = ["service", "rule", "suppressed_by"]
    search_fields = ["text", "subject"]
    date_hierarchy = "opened_at"

    @display(description=_("severity"), label=SEVERITY_COLOURS, ordering="severity")  # type: ignore[untyped-decorator] # unfold: no types
    def level(self, alert: Alert) -> tuple[str, object]:
        """Severity, as a word and a colour."""
        return alert.severity, alert.get_severity_display()


@admin.register(Silence)
class SilenceAdmin(HistoryAdmin):
    """Silences. One is ended by moving its end; its history says who did what."""

    list_display = ["service_pattern", "rule_pattern", "starts_at", "until", "reason", "created_by"]
    list_filter = ["until"]
    list_select_related = ["created_by"]
    search_fields = ["service_pattern", "rule_pattern", "reason"]
    fields = ["service_pattern", "rule_pattern", "starts_at", "until", "reason", "created_by"]
    readonly_fields = ["created_by"]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Start now."""
        return {"starts_at": timezone.now(), **super().get_changeform_initial_data(request)}

    def save_model(self, request: HttpRequest, obj: Silence, form: ModelForm[Silence], change: bool) -> None:
        """Keep who made it."""
        if not change and request.user.is_authenticated:
            obj.created_by = request.user
        super().save_model(request, obj, form, change)


class WindowForm(forms.ModelForm):  # type: ignore[type-arg] # generic only for type checkers
    """Weekdays as boxes."""

    weekdays = forms.MultipleChoiceField(
        label=_("weekdays"), choices=WEEKDAYS, widget=UnfoldAdminCheckboxSelectMultipleWidget
    )

    class Meta:
        model = MaintenanceWindow
        fields = ["name", "weekdays", "start", "duration_min", "service_pattern", "reason", "enabled"]


@admin.register(MaintenanceWindow)
class MaintenanceWindowAdmin(HistoryAdmin):
    """Recurring maintenance, in Korean time."""

    form = WindowForm
    list_display = ["name", "days", "start", "duration_min", "service_pattern", "enabled"]
    list_editable = ["enabled"]
    search_fields = ["name", "service_pattern"]

    @admin.display(description=_("weekdays"))
    def days(self, window: MaintenanceWindow) -> str:
        """The weekdays in words."""
        return ", ".join(str(label) for name, label in WEEKDAYS if name in window.weekdays)
