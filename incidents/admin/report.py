"""Reports in the admin: one tab per section, the checklist, and the history of all of it."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.db import connection, transaction
from django.db.models import Model, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.admin import TabularInline

from incidents.admin.base import SHORT_TEXT, GuardedAdmin, HistoryAdmin, display
from incidents.checklist import due_for
from incidents.errors import IncidentError
from incidents.models import ChecklistItem, Provenance, Report, VersionKind
from incidents.reports import versions
from incidents.reports.rows import SECTIONS, Section


class _Seen(forms.IntegerField):
    """The version that the person looked at; it goes with the form and is no column."""

    widget = forms.HiddenInput

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Never: nothing of it is saved."""
        return False


class ReportForm(forms.ModelForm):  # type: ignore[type-arg] # the class takes no parameters when it runs
    """Refuses to save over a version that the person has not seen, and keeps what they wrote."""

    seen = _Seen(label=_("version"), required=False, min_value=0)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # An old version that is brought back is a copy with the number of then.
        numbers = Report.objects.filter(pk=self.instance.pk).values_list("revision", flat=True)
        self.fields["seen"].initial = numbers.first()

    def clean(self) -> dict[str, Any]:
        """Look at the newest version under the report's lock, which the admin holds until it has saved."""
        cleaned = super().clean() or self.cleaned_data
        seen = cleaned.get("seen")
        with transaction.atomic():
            held = Report.objects.select_for_update().get(pk=self.instance.pk)
        try:
            versions.refuse_locked(held)
            versions.refuse_older(held, -1 if seen is None else seen)
        except IncidentError as error:
            # Shown again, the form is one that has seen the newest version.
            given = cast(QueryDict, self.data).copy()
            given[self.add_prefix("seen")] = str(held.revision)
            self.data = given
            raise forms.ValidationError(str(error)) from error
        return cleaned


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

    form = ReportForm
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

    def get_fieldsets(self, request: HttpRequest, obj: Report | None = None) -> Any:
        """Send the version that was seen along with what may be saved."""
        found = super().get_fieldsets(request, obj)
        if not self.has_change_permission(request, obj):
            return found
        return [*found, (None, {"fields": ("seen",), "classes": ("hidden",)})]

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Report | None:
        """Lock the row that a POST changes, so that nobody signs it off between the question and the save."""
        found: Report | None = super().get_object(request, object_id, from_field)
        if found is None or request.method != "POST" or not connection.in_atomic_block:
            return found
        held = Report.objects.select_for_update().filter(pk=found.pk).first()
        request.signed_off = held is not None and held.locked  # type: ignore[attr-defined] # ours
        return held

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Say what to do to whoever saves what was signed off meanwhile."""
        try:
            answer: HttpResponse = super().changeform_view(request, *args, **kwargs)
        except PermissionDenied:
            if not getattr(request, "signed_off", False) or not super().has_change_permission(request):
                raise
            messages.error(request, _("The report was signed off. Reopen it with a reason to change it."))
            return redirect(request.path)
        return answer

    def history_form_view(
        self, request: HttpRequest, object_id: str, version_id: str, extra_context: Any = None
    ) -> HttpResponse:
        """Bring an old version back under the report's lock."""
        with transaction.atomic():
            return super().history_form_view(request, object_id, version_id, extra_context)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Keep what was saved as a version."""
        super().save_related(request, form, formsets, change)
        _keep(request, form.instance)

    def save_model(self, request: HttpRequest, obj: Report, form: ModelForm[Report], change: bool) -> None:
        """A root cause that a person wrote is that person's."""
        if "root_cause" in form.changed_data:
            obj.root_cause_provenance = Provenance.PERSON
            form.changed_data.append("root_cause_provenance")
        brings_back = "seen" in form.changed_data
        form.changed_data = [name for name in form.changed_data if name != "seen"]
        super().save_model(request, obj, form, change)
        if brings_back:
            # The page of an old version saves no related rows, so nothing else keeps it.
            _keep(request, obj)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """A row whose content a person changed is that person's; a new item gets its due date."""
        for row in formset.forms:
            if set(row.changed_data) - {"order"}:
                _mark(row.instance)
        super().save_formset(request, form, formset, change)


def _keep(request: HttpRequest, report: Report) -> None:
    actor = request.user if isinstance(request.user, AbstractBaseUser) else None
    with transaction.atomic():
        held = Report.objects.select_for_update(of=("self",)).select_related("incident").get(pk=report.pk)
        versions.keep(held, kind=VersionKind.EDITED, at=timezone.now(), actor=actor)


def _mark(row: Model) -> None:
    if isinstance(row, ChecklistItem):
        if row.due is None and row.pk is None:
            row.due = due_for(row.priority, timezone.localdate(row.report.analysed_at))
    elif hasattr(row, "provenance"):
        row.provenance = Provenance.PERSON
