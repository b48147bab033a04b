"""Reports in the admin: one tab per section, the checklist, and the history of all of it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Model, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline

from incidents.admin.base import SHORT_TEXT, GuardedAdmin, HistoryAdmin, display
from incidents.checklist import due_for
from incidents.models import ChecklistItem, Provenance, Report, VersionKind
from incidents.reports import versions
from incidents.reports.rows import SECTIONS, Section


class RowInline(TabularInline):  # type: ignore[misc] # unfold carries no types
    """Rows of one section. Where a row came from is shown and follows from editing it."""

    extra = 0
    tab = True
    ordering_field = "order"
    hide_ordering_field = True
    formfield_overrides = {**TabularInline.formfield_overrides, **SHORT_TEXT}
    readonly_fields = ("origin",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Join the evidence without its payload."""
        found: QuerySet[Any] = super().get_queryset(request)
        return found.select_related("evidence").defer("evidence__payload")

    @display(description=_("origin"))
    def origin(self, obj: Any) -> str:
        """Measured, inferred or written by a person, with the evidence behind it."""
        if not obj.pk:
            return "-"
        label = str(Provenance(obj.provenance).label)
        return f"{label} (E{obj.evidence_id})" if obj.evidence_id else label


def _inline(section: Section) -> type[RowInline]:
    fields = (*section.columns, "order", "origin")
    return type(f"{section.stored.__name__}Inline", (RowInline,), {"model": section.stored, "fields": fields})


class ChecklistInline(TabularInline):  # type: ignore[misc] # unfold carries no types
    """The prevention checklist; states change on the item's own page."""

    model = ChecklistItem
    extra = 0
    tab = True
    ordering_field = "order"
    hide_ordering_field = True
    show_change_link = True
    fields = ("text", "priority", "owner", "due", "state", "observed", "order")
    readonly_fields = ("state", "observed")
    autocomplete_fields = ("owner",)
    formfield_overrides = {**TabularInline.formfield_overrides, **SHORT_TEXT}


@admin.register(Report)
class ReportAdmin(HistoryAdmin):
    """What a person edits becomes that person's and is never overwritten by a draft."""

    list_display = ("incident", "title", "language", "analysed_at", "drafted_at")
    list_display_links = ("incident", "title")
    list_filter = ("language", "analysed_at")
    list_select_related = ("incident",)
    search_fields = ("title", "root_cause", "=incident__number")
    readonly_fields = ("incident", "root_cause_provenance", "root_cause_evidence", "drafted_at")
    inlines = (*(_inline(section) for section in SECTIONS), ChecklistInline)
    formfield_overrides = {**GuardedAdmin.formfield_overrides, **SHORT_TEXT}
    fieldsets = (
        (None, {"fields": ("incident", "title", "language", "analysed_at", "drafted_at", "root_cause")}),
        (_("Origin"), {"fields": (("root_cause_provenance", "root_cause_evidence"),)}),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Reports are drafted or imported."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Report | None = None) -> bool:
        """Nobody changes what was signed off; reopen it on its page first."""
        return not (obj is not None and obj.locked) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Report | None = None) -> bool:
        """Nobody deletes what was signed off."""
        return not (obj is not None and obj.locked) and super().has_delete_permission(request, obj)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Keep what was saved as a version."""
        super().save_related(request, form, formsets, change)
        held = Report.objects.select_for_update().get(pk=form.instance.pk)
        actor = request.user if isinstance(request.user, AbstractBaseUser) else None
        versions.keep(held, kind=VersionKind.EDITED, at=timezone.now(), actor=actor)

    def save_model(self, request: HttpRequest, obj: Report, form: ModelForm[Report], change: bool) -> None:
        """A root cause that a person wrote is that person's."""
        if "root_cause" in form.changed_data:
            obj.root_cause_provenance = Provenance.PERSON
            form.changed_data.append("root_cause_provenance")
        super().save_model(request, obj, form, change)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """A row whose content a person changed is that person's; a new item gets its due date."""
        for row in formset.forms:
            if set(row.changed_data) - {"order"}:
                _mark(row.instance)
        super().save_formset(request, form, formset, change)


def _mark(row: Model) -> None:
    if isinstance(row, ChecklistItem):
        if row.due is None and row.pk is None:
            row.due = due_for(row.priority, row.report.analysed_at.date())
    elif hasattr(row, "provenance"):
        row.provenance = Provenance.PERSON
