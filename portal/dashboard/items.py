"""One checklist item: its page, what operators press, and the forms of editors."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from incidents import checklist, registry
from incidents.errors import IncidentError
from incidents.item_form import ItemForm
from incidents.models import ChecklistItem, Incident, ItemState
from incidents.queue import enqueue_verify
from portal.dashboard import queries
from portal.dashboard.access import operator_action, viewer_required

ADD, DELETE = "incidents.add_checklistitem", "incidents.delete_checklistitem"
#: Characters of a waiver's reason; runs, changes and people that are listed.
REASON_MAX = 500
RUNS_MAX = 32
HISTORY_MAX = 10
PEOPLE_MAX = 200


@viewer_required
def item(request: HttpRequest, pk: int) -> HttpResponse:
    """One item: what was seen, each run, what changed, and what may be done."""
    found = get_object_or_404(
        ChecklistItem.objects.select_related("report__incident", "owner", "waived_by"), pk=pk
    )
    verifier = registry.verifiers().get(found.verifier)
    runs = list(found.runs.all()[:RUNS_MAX])
    context = {
        "title": found.text[:80],
        "item": found,
        "row": queries.item_row(found, timezone.localdate()),
        "verifier": verifier,
        "parameters": _parameters(found),
        "runs": runs,
        "changes": _changes(found),
        "history": found.history.select_related("history_user")[:HISTORY_MAX],
        "people": User.objects.filter(is_active=True).order_by("username")[:PEOPLE_MAX],
        "may_claim": found.state in (ItemState.OPEN, ItemState.FAILING, ItemState.STALE),
        "may_reopen": found.state in (ItemState.CLAIMED, ItemState.WAIVED, ItemState.STALE),
        "may_edit": request.user.has_perm(ADD),
        "may_delete": request.user.has_perm(DELETE),
        "reason_max": REASON_MAX,
        "tomorrow": timezone.localdate() + timedelta(days=1),
        "waiver_last": timezone.localdate() + timedelta(days=checklist.WAIVER_MAX_DAYS),
    }
    return render(request, "portal/checklist_item.html", context)


def _parameters(found: ChecklistItem) -> list[tuple[Any, Any]]:
    verifier = registry.verifiers().get(found.verifier)
    given = {**verifier.defaults, **found.parameters} if verifier else found.parameters
    labels = {one.name: one.label for one in verifier.parameters} if verifier else {}
    return [
        (labels.get(name, name), ", ".join(map(str, value)) if isinstance(value, list) else value)
        for name, value in given.items()
    ]


def _changes(found: ChecklistItem) -> list[dict[str, Any]]:
    rows = found.difference.get("changes", []) if isinstance(found.difference, dict) else []
    return [{**one, "at": parse_datetime(one["at"])} for one in rows]


@operator_action
def act(request: HttpRequest, pk: int) -> HttpResponse:
    """Claim, verify, waive, reopen or assign; a refusal is told, not raised."""
    found = get_object_or_404(ChecklistItem.objects.select_related("report__incident"), pk=pk)
    actor = request.user
    if not isinstance(actor, User):
        raise PermissionDenied
    given: dict[str, Any] = {"item": found, "at": timezone.now(), "actor": actor}
    try:
        match request.POST.get("verb", ""):
            case "claim":
                checklist.claim(**given)
                messages.success(request, _("Claimed."))
            case "verify":
                _verify(request, given)
            case "waive":
                until = _day(request.POST.get("until", ""))
                reason = request.POST.get("reason", "").strip()[:REASON_MAX]
                checklist.waive(**given, reason=reason, until=until or timezone.localdate())
                messages.success(request, _("Waived."))
            case "reopen":
                checklist.reopen(**given)
                messages.success(request, _("Open again."))
            case "assign":
                _assign(request, given)
            case _:
                messages.error(request, _("Unknown action."))
    except IncidentError as error:
        messages.error(request, str(error))
    return redirect("checklist-item", pk=pk)


def _verify(request: HttpRequest, given: dict[str, Any]) -> None:
    if not given["item"].verifier:
        messages.warning(request, _("It has no verifier."))
    elif checklist.verify_now(items=[given["item"]], at=given["at"], actor=given["actor"]):
        messages.success(request, _("A worker verifies now; reload in a few seconds."))
    else:
        messages.error(request, _("The broker does not answer; nothing was verified."))


def _assign(request: HttpRequest, given: dict[str, Any]) -> None:
    name = request.POST.get("owner", "")
    owner = User.objects.filter(username=name, is_active=True).first() if name else None
    if name and owner is None:
        messages.error(request, _("There is nobody of this name."))
        return
    checklist.assign(**given, owner=owner)
    messages.success(request, _("%(name)s is its owner.") % {"name": name} if owner else _("Nobody owns it."))


def _day(text: str) -> date | None:
    try:
        return parse_date(text)
    except ValueError:
        return None


@viewer_required
@require_http_methods(["GET", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    """Add an item to an incident's report, or one that belongs to none."""
    if not request.user.has_perm(ADD):
        raise PermissionDenied
    number = request.GET.get("incident", "")
    incident = None
    if number:
        if not (number.isascii() and number.isdigit() and len(number) < 10):
            number = "0"
        incident = get_object_or_404(Incident.objects.select_related("report"), number=number)
    report = getattr(incident, "report", None)
    new = ChecklistItem(report=report)
    if report is not None:
        new.order = report.checklist.count()
    target = next(iter(incident.services), "") if incident else request.GET.get("target", "")[:200]
    return _edit(request, new, {"target": target})


@viewer_required
@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Change an item; one that is looked at in another way is open again."""
    if not request.user.has_perm(ADD):
        raise PermissionDenied
    return _edit(
        request, get_object_or_404(ChecklistItem.objects.select_related("report__incident"), pk=pk), {}
    )


def _edit(request: HttpRequest, found: ChecklistItem, initial: dict[str, Any]) -> HttpResponse:
    known = found.pk is not None
    form = ItemForm(request.POST or None, instance=found, initial=initial)
    for name in ("text", "priority", "owner", "due"):
        form.fields[name].widget.attrs["class"] = "p-input"
    form.fields["text"].widget.attrs["rows"] = 2
    form.fields["due"].widget.input_type = "date"
    if request.method == "POST" and form.is_valid():
        _save(form, request)
        asked = bool(found.verifier) and enqueue_verify([found.pk])
        messages.success(request, _("Saved; a worker verifies it now.") if asked else _("Saved."))
        return redirect("checklist-item", pk=found.pk)
    context = {
        "title": _("Change a measure") if known else _("Add a measure"),
        "form": form,
        "item": found if known else None,
        "incident": found.incident,
    }
    status = 422 if request.method == "POST" else 200
    return render(request, "portal/checklist_form.html", context, status=status)


def _save(form: ItemForm, request: HttpRequest) -> None:
    found: ChecklistItem = form.instance
    actor = request.user if isinstance(request.user, User) else None
    given: dict[str, Any] = {"item": found, "at": timezone.now(), "actor": actor}
    if found.pk is None:
        found.due = found.due or checklist.due_for(found.priority, timezone.localdate())
        found.save()
        checklist.edited(**given, before={})
    elif form.changed_data:
        before = {name: str(form.initial.get(name)) for name in form.changed_data}
        found.save(update_fields=form.changed_data)
        checklist.edited(**given, before=before)
        if form.is_looked_at_anew:
            checklist.forget(**given)


@viewer_required
@require_http_methods(["GET", "POST"])
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask, and on POST delete an item with its runs; its history stays."""
    if not request.user.has_perm(DELETE):
        raise PermissionDenied
    found = get_object_or_404(ChecklistItem.objects.select_related("report__incident"), pk=pk)
    if request.method == "POST":
        actor = request.user if isinstance(request.user, User) else None
        checklist.remove(item=found, at=timezone.now(), actor=actor)
        messages.success(request, _("Deleted."))
        return redirect("checklist")
    context = {"title": _("Delete a measure"), "item": found}
    return render(request, "portal/checklist_delete.html", context)
