"""One report's pages: reading, a new draft beside it, versions, review, print and export."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import content_disposition_header
from django.utils.safestring import mark_safe
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from incidents import reports
from incidents.errors import IncidentError
from incidents.models import Incident, Report
from incidents.reports import candidates, fix_table, renewal, review, serial, store
from incidents.reports.differences import compare as differences
from incidents.reports.draft_causes import root_cause
from incidents.reports.drafting import facts_since
from incidents.reports.export import document_for, file_name, render_page, with_origins
from incidents.reports.facts import Facts
from incidents.reports.layout import SUFFIX
from incidents.reports.model import Document
from incidents.reports.words import Words
from portal.dashboard.access import EDIT, editor_required, viewer_required
from portal.dashboard.report_words import change_view

#: Versions on the report's page and in the list of versions.
VERSIONS_SHOWN, VERSIONS_MAX = 5, 200
CANDIDATES_MAX = 5
NOTE_MAX = 500
TYPES = {"md": "text/markdown", "html": "text/html", "json": "application/json"}


def language() -> str:
    """Return the language in which reports are shown to this person."""
    return "ko" if (get_language() or "ko").startswith("ko") else "en"


def found(number: int) -> Report:
    """Return the report of an incident by the incident's number.

    Raises:
        Http404: no such incident, or nothing was drafted yet.
    """
    rows = Report.objects.select_related("incident", "incident__lead", "signed_by")
    return get_object_or_404(rows, incident__number=number)


def actor(request: HttpRequest) -> AbstractBaseUser:
    """Return the person behind the request.

    Raises:
        PermissionDenied: nobody is signed in.
    """
    if not isinstance(request.user, AbstractBaseUser):
        raise PermissionDenied
    return request.user


@viewer_required
def page(request: HttpRequest, number: int) -> HttpResponse:
    """The report with the origin of each cell, its candidates for the root cause, versions and review."""
    report = found(number)
    incident = report.incident
    kind = request.GET.get("kind", "summary")
    if kind not in SUFFIX:
        raise Http404
    address = reverse("incident", args=[number])
    stored, facts = store.load(report), facts_since(incident, report.analysed_at)
    shown = document_for(report, language(), document=stored, facts=facts)
    html = with_origins(incident, kind, language(), lambda pk: f"{address}#evidence-{pk}", document=shown)
    editor = request.user.has_perm(EDIT)
    context = {
        "title": _("Report of INC-%(number)d") % {"number": number},
        "incident": incident,
        "report": report,
        "kind": kind,
        # The renderer escapes every cell and sanitises the HTML before the tags are put in.
        "html": mark_safe(html),  # noqa: S308 - sanitised by the renderer
        "candidates": _candidates(stored, facts[0]),
        "versions": list(report.versions.select_related("actor").defer("document")[:VERSIONS_SHOWN]),
        "editor": editor,
        "why_not": review.may_sign(incident, actor(request)) if editor else "",
        "note_max": NOTE_MAX,
    }
    return render(request, "portal/report.html", context)


@editor_required
@require_http_methods(["GET", "POST"])
def draft(request: HttpRequest, number: int) -> HttpResponse:
    """What a new draft would change, row by row; on POST, take over what was ticked."""
    report = found(number)
    chosen: list[str] = []
    if request.method == "POST":
        chosen = request.POST.getlist("row")
        try:
            taken = renewal.accept(report=report, tokens=chosen, actor=actor(request), at=timezone.now())
        except IncidentError as error:
            messages.error(request, str(error))
        else:
            messages.success(request, _("%(n)d rows were taken over.") % {"n": len(taken)})
            return redirect("report", number=number)
    proposed = renewal.proposals(report)
    context = {
        "title": _("New draft of INC-%(number)d") % {"number": number},
        "incident": report.incident,
        "report": report,
        "offered": [change_view(one) for one in proposed.offered],
        "kept": [change_view(one) for one in proposed.kept],
        "chosen": set(chosen),
        "first": request.method != "POST",
    }
    return render(request, "portal/report_draft.html", context, status=409 if chosen else 200)


@viewer_required
def compare(request: HttpRequest, number: int) -> HttpResponse:
    """Every version, and what differs between two of them."""
    report = found(number)
    listed = list(report.versions.select_related("actor").defer("document")[:VERSIONS_MAX])
    numbers = [one.number for one in listed]
    newer = _chosen(request, "b", numbers, numbers[0] if numbers else None)
    older = _chosen(request, "a", numbers, numbers[1] if len(numbers) > 1 else newer)
    wanted = [number for number in (older, newer) if number is not None]
    documents = dict(report.versions.filter(number__in=wanted).values_list("number", "document"))
    changes = []
    if older in documents and newer in documents:
        changes = differences(serial.load(documents[older]), serial.load(documents[newer]))
    context = {
        "title": _("Versions of the report of INC-%(number)d") % {"number": number},
        "incident": report.incident,
        "report": report,
        "versions": listed,
        "older": older,
        "newer": newer,
        "changes": [change_view(one) for one in changes],
    }
    return render(request, "portal/report_versions.html", context)


@editor_required
@require_POST
def act(request: HttpRequest, number: int) -> HttpResponse:
    """Choose a root cause, add a cause's fixes, sign off or reopen; a refusal is told, not raised."""
    report = found(number)
    who, now = actor(request), timezone.now()
    verb = request.POST.get("verb", "")
    text = request.POST.get("reason", "").strip()[:NOTE_MAX]
    seen = request.POST.get("seen", "")
    version = int(seen) if seen.isdecimal() and len(seen) < 10 else -1
    try:
        if verb in ("cause", "fixes"):
            kind = candidates.Kind(request.POST.get("cause", ""))
            if verb == "cause":
                renewal.take_cause(report=report, kind=kind, actor=who, at=now, seen=version)
                messages.success(request, _("The root cause was replaced."))
            else:
                added = renewal.add_fixes(report=report, kind=kind, actor=who, at=now, seen=version)
                messages.success(request, _("%(n)d rows were added to the fix table.") % {"n": added})
        elif verb == "sign":
            review.sign_off(report=report, actor=who, at=now, seen=version, note=text)
            messages.success(request, _("The report is signed off and locked."))
        elif verb == "reopen":
            review.reopen(report=report, actor=who, at=now, reason=text)
            messages.success(request, _("The report can be edited again."))
        else:
            messages.error(request, _("Unknown action."))
    except ValueError:
        messages.error(request, _("Unknown action."))
    except IncidentError as error:
        messages.error(request, str(error))
    return redirect("report", number=number)


@viewer_required
def printable(request: HttpRequest, number: int, kind: str) -> HttpResponse:
    """The report as a page of its own that prints on A4."""
    if kind not in SUFFIX:
        raise Http404
    return HttpResponse(render_page(found(number).incident, kind, language()))


@viewer_required
def export(request: HttpRequest, number: int, kind: str, fmt: str) -> HttpResponse:
    """The report as a file with its stable name."""
    if kind not in SUFFIX or fmt not in TYPES:
        raise Http404
    incident: Incident = found(number).incident
    if fmt == "html":
        content = render_page(incident, kind, language())
    else:
        content = reports.render(incident, kind, fmt, language())
    response = HttpResponse(content, content_type=f"{TYPES[fmt]}; charset=utf-8")
    response["Content-Disposition"] = content_disposition_header(True, file_name(incident, kind, fmt))
    return response


def _candidates(document: Document, facts: Facts) -> list[dict[str, Any]]:
    words, stored = Words(language()), Words(document.language)
    there = {row.key for row in document.fixes}
    return [
        {
            "kind": one.kind.value,
            "line": root_cause(facts, words, one),
            "chosen": root_cause(facts, stored, one) == document.root_cause,
            "score": one.score,
            "reasons": [(candidates.describe(reason, words), reason) for reason in one.reasons],
            "fixes": [(fix, fix.key in there) for fix in fix_table.suggestions(one.kind, facts, words)],
            "missing": any(fix.key not in there for fix in fix_table.suggestions(one.kind, facts, words)),
        }
        for one in candidates.rank(facts)[:CANDIDATES_MAX]
    ]


def _chosen(request: HttpRequest, name: str, numbers: list[int], default: int | None) -> int | None:
    given = request.GET.get(name, "")
    return int(given) if given.isdecimal() and len(given) < 10 and int(given) in numbers else default
