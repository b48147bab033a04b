"""Incidents in the admin: fields for people, buttons for the lifecycle."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy
from unfold.admin import TabularInline

from incidents import services
from incidents.admin.base import LABELS, GuardedAdmin, action, display
from incidents.errors import IncidentError
from incidents.models import Incident, IncidentSignal, Severity, State
from incidents.reports import review
from incidents.transitions import is_legal

#: Fields that people write.
EDITABLE = ("title", "severity", "lead", "impact_started_at", "resolve_after_s")


class SignalInline(TabularInline):  # type: ignore[misc] # unfold carries no types
    """The alerts behind the incident, as they were."""

    model = IncidentSignal
    fields = readonly_fields = ("title", "severity", "opened_at", "cleared_at")
    extra = 0
    can_delete = False
    tab = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody; monitoring does."""
        return False


@admin.register(Incident)
class IncidentAdmin(GuardedAdmin):
    """State and times are read-only; a button moves the incident through ``incidents.services``."""

    list_display = (
        "number",
        "title",
        "shown_severity",
        "shown_state",
        "lead",
        "opened_at",
        "resolved_at",
        "firing",
    )
    list_display_links = ("number", "title")
    list_filter = ("state", "severity", "opened_at")
    list_select_related = ("lead",)
    search_fields = ("title", "fingerprint", "=number")
    autocomplete_fields = ("lead",)
    actions_submit_line = ("acknowledge", "mitigate", "resolve", "review", "close_for_good")
    inlines = (SignalInline,)
    readonly_fields = (
        *(
            "number",
            "state",
            "fingerprint",
            "services",
            "reopened",
            "recurrence_of",
            "opened_at",
            "reopened_at",
        ),
        *("acknowledged_at", "mitigated_at", "green_since", "resolved_at", "reviewed_at", "closed_at"),
    )
    fieldsets = (
        (None, {"fields": ("number", "title", ("state", "severity"), "lead", "services")}),
        (
            gettext_lazy("Times"),
            {
                "fields": (
                    "impact_started_at",
                    ("opened_at", "reopened_at"),
                    ("acknowledged_at", "mitigated_at", "green_since"),
                    ("resolved_at", "reviewed_at", "closed_at"),
                )
            },
        ),
        (
            gettext_lazy("Identity"),
            {
                "fields": ("fingerprint", ("reopened", "recurrence_of"), "resolve_after_s"),
                "classes": ("tab",),
            },
        ),
    )
    #: Which call each button makes.
    calls = {
        **{name: name for name in ("acknowledge", "mitigate", "resolve", "review")},
        "close_for_good": "close",
    }

    def get_queryset(self, request: HttpRequest) -> QuerySet[Incident]:
        """Count open alerts in the same query."""
        found: QuerySet[Incident] = super().get_queryset(request)
        return found.annotate(firing_count=Count("signals", filter=Q(signals__cleared_at=None)))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Incidents come from alerts and imports."""
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Incident | None = None) -> tuple[str, ...]:
        """The start of the impact is for editors, and nothing of a closed incident is changed."""
        if obj is not None and obj.state == State.CLOSED:
            return (*self.readonly_fields, *EDITABLE)
        if not request.user.has_perm("incidents.change_report"):
            return (*self.readonly_fields, "impact_started_at")
        return self.readonly_fields

    def get_actions_submit_line(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Show the buttons of legal moves only."""
        state = Incident.objects.filter(pk=object_id).values_list("state", flat=True).first()
        legal = {name for name, call in self.calls.items() if state and is_legal(call, state)}
        names = {f"incidents_incident_{name}" for name in legal}
        return [
            one for one in super().get_actions_submit_line(request, object_id) if one.action_name in names
        ]

    def save_model(self, request: HttpRequest, obj: Incident, form: Any, change: bool) -> None:
        """Put severity, lead and impact through the services, which guard, tell and audit them."""
        if not change:
            # Nobody may add one; the form of an old version brings none back either.
            return
        held = Incident.objects.select_related("lead").get(pk=obj.pk)
        changed = set(form.changed_data)
        given = {"at": timezone.now(), "actor": request.user, "reason": _("changed in the admin")}
        calls = {
            "severity": partial(services.change_severity, severity=obj.severity),
            "lead": partial(services.set_lead, lead=obj.lead),
        }
        if obj.impact_started_at is not None:
            calls["impact_started_at"] = partial(services.correct_impact, started_at=obj.impact_started_at)
        for name, call in calls.items():
            if name in changed:
                try:
                    call(incident=held, **given)
                except IncidentError as error:
                    messages.error(request, str(error))
        form.changed_data = sorted(changed - {"severity", "lead", "impact_started_at"})
        super().save_model(request, obj, form, change)

    @display(description=gettext_lazy("severity"), ordering="severity", label=LABELS)
    def shown_severity(self, obj: Incident) -> tuple[str, str]:
        """Severity as a word with a colour."""
        return obj.severity, str(Severity(obj.severity).label)

    @display(description=gettext_lazy("state"), ordering="state", label=LABELS)
    def shown_state(self, obj: Incident) -> tuple[str, str]:
        """State as a word with a colour."""
        return obj.state, str(State(obj.state).label)

    @display(description=gettext_lazy("open alerts"))
    def firing(self, obj: Incident) -> int:
        """How many alerts are open."""
        return int(getattr(obj, "firing_count", 0))

    @action(description=gettext_lazy("Acknowledge"), permissions=["change"])
    def acknowledge(self, request: HttpRequest, obj: Incident) -> None:
        """Take it."""
        self._move(request, obj, services.acknowledge)

    @action(description=gettext_lazy("Mitigated"), permissions=["change"])
    def mitigate(self, request: HttpRequest, obj: Incident) -> None:
        """The pain stopped."""
        self._move(request, obj, services.mitigate)

    @action(description=gettext_lazy("Resolve"), permissions=["change"])
    def resolve(self, request: HttpRequest, obj: Incident) -> None:
        """It is over; refused while alerts are open."""
        self._move(request, obj, services.resolve)

    def has_review_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """Whoever may edit reports may sign them off."""
        return bool(request.user.has_perm("incidents.change_report"))

    @action(description=gettext_lazy("Reviewed"), permissions=["review"])
    def review(self, request: HttpRequest, obj: Incident) -> None:
        """The report was reviewed: sign it off, which locks it."""
        self._move(request, obj, review.review_incident)

    @action(description=pgettext_lazy("incident", "Close"), permissions=["change"])
    def close_for_good(self, request: HttpRequest, obj: Incident) -> None:
        """Close it; refused while a P0 measure is neither verified nor waived."""
        self._move(request, obj, services.close)

    def _move(self, request: HttpRequest, obj: Incident, service: Any) -> None:
        done = _("INC-%(number)d was updated.") % {"number": obj.number}
        self.act(request, done, partial(service, incident=obj, at=timezone.now(), actor=request.user))
