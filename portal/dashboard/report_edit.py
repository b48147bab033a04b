"""A report's sections as plain forms: each is saved on its own and becomes one version."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.contrib import messages
from django.db.models import Max
from django.forms import BaseModelFormSet, ModelForm, modelform_factory, modelformset_factory
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from incidents.errors import IncidentError
from incidents.models import Provenance, Report, VersionKind
from incidents.reports import store, versions
from incidents.reports.rows import SECTIONS, Section, stored_rows
from portal.dashboard import report as pages
from portal.dashboard.access import editor_required
from portal.dashboard.report_words import section_word

#: Rows of one section that the page edits at once.
ROWS_MAX = 300
#: Columns that place a row and are not asked for.
_FIXED = {"problems": ("kind",), "extras": ("level", "after")}
HEAD = "head"


class _Area(forms.Textarea):
    """Grows with its text; two lines at least."""

    def __init__(self) -> None:
        super().__init__(attrs={"class": "p-input p-area", "rows": 2})


def _field(db_field: Any, **options: Any) -> Any:
    """Give every column the portal's look."""
    field = db_field.formfield(**options)
    if isinstance(field, forms.CharField) and not isinstance(field, forms.TypedChoiceField):
        field.widget = _Area()
    elif field is not None:
        field.widget.attrs["class"] = "p-input"
    return field


def _head(data: Any, report: Report) -> ModelForm[Report]:
    kind = modelform_factory(Report, fields=("title", "root_cause"), formfield_callback=_field)
    return kind(data, instance=report, prefix=HEAD)


class _Rows(BaseModelFormSet):  # type: ignore[type-arg] # the class takes no parameters when it runs
    """Forms over rows that were read together with those of the other sections."""

    def __init__(self, *args: Any, rows: list[Any], **options: Any) -> None:
        self.rows = rows
        super().__init__(*args, **options)

    def get_queryset(self) -> Any:
        """Return the rows that there are already."""
        return self.rows


def _rows(section: Section, data: Any, rows: list[Any]) -> _Rows:
    columns = [name for name in section.columns if name not in _FIXED.get(section.name, ())]
    made = modelformset_factory(
        section.stored,
        formset=_Rows,
        fields=(*columns, "order"),
        extra=1,
        can_delete=True,
        max_num=ROWS_MAX,
        formfield_callback=_field,
    )
    found = cast(_Rows, made(data, rows=rows, prefix=section.name))
    for form in found.extra_forms:
        form.fields["order"].required = False
        form.initial["order"] = None
    return found


@editor_required
@require_http_methods(["GET", "POST"])
def page(request: HttpRequest, number: int) -> HttpResponse:
    """Every section's rows; on POST, save one section as a version of its own."""
    report = pages.found(number)
    if report.locked:
        messages.error(request, _("The report was signed off. Reopen it with a reason to change it."))
        return redirect("report", number=number)
    wanted = request.POST.get("section", "") if request.method == "POST" else ""
    status = 200
    forms_by_name = _forms(report, wanted, request.POST)
    if wanted in forms_by_name:
        status = _save(request, report, wanted, forms_by_name[wanted])
        if status == 302:
            return redirect(f"{reverse('report-edit', args=[number])}#section-{wanted}")
    context = {
        "title": _("Edit the report of INC-%(number)d") % {"number": number},
        "incident": report.incident,
        "report": report,
        "head": forms_by_name.pop(HEAD),
        "sections": [
            {"name": name, "word": section_word(name), "rows": rows, "open": name == (wanted or "status")}
            for name, rows in forms_by_name.items()
        ],
        "wanted": wanted,
    }
    return render(request, "portal/report_edit.html", context, status=status)


def _forms(report: Report, wanted: str, data: Any) -> dict[str, Any]:
    found: dict[str, Any] = {HEAD: _head(data if wanted == HEAD else None, report)}
    rows = stored_rows(report)
    for section in SECTIONS:
        found[section.name] = _rows(section, data if wanted == section.name else None, rows[section.name])
    return found


def _save(request: HttpRequest, report: Report, name: str, given: Any) -> int:
    """Save one section; returns 302, or the status of the page that shows the person's text again."""
    if not given.is_valid():
        messages.error(request, _("Please correct the marked fields."))
        return 422
    seen = request.POST.get("seen", "")
    version = int(seen) if seen.isdecimal() and len(seen) < 10 else -1
    try:
        with versions.edit(
            report, kind=VersionKind.EDITED, at=timezone.now(), actor=pages.actor(request), seen=version
        ) as held:
            if name == HEAD:
                _write_head(held, given)
            else:
                _write_rows(held, name, given)
            store.settle_empty(held)
    except IncidentError as error:
        messages.error(request, str(error))
        report.refresh_from_db(fields=["revision"])
        return 409
    messages.success(request, _("Saved: %(section)s") % {"section": _word(name)})
    return 302


def _word(name: str) -> str:
    return _("Title and root cause") if name == HEAD else section_word(name)


def _write_head(held: Report, given: Any) -> None:
    held.title = given.cleaned_data["title"]
    if "root_cause" in given.changed_data:
        held.root_cause = given.cleaned_data["root_cause"]
        held.root_cause_provenance = Provenance.PERSON
    held.save()


def _write_rows(held: Report, name: str, given: Any) -> None:
    model = next(section.stored for section in SECTIONS if section.name == name)
    last = model._default_manager.filter(report=held).aggregate(last=Max("order"))["last"]
    for row in given.save(commit=False):
        form = next(one for one in given.forms if one.instance is row)
        if row.pk is None:
            row.report = held
            if form.cleaned_data.get("order") is None:
                row.order = 0 if last is None else last + 1
        if set(form.changed_data) - {"order"}:
            row.provenance = Provenance.PERSON
        row.save()
    for row in given.deleted_objects:
        row.delete()
