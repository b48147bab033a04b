"""Takes a report's Markdown in: a file or pasted text, and what could not be read, line by line."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from incidents.reports.importing import MAX_BYTES, ImportRefused, decode, import_text
from incidents.reports.issues import describe
from portal.dashboard.access import editor_required
from portal.dashboard.report import actor

#: Findings shown on the page; the rest is counted.
ISSUES_SHOWN = 500


@editor_required
@require_http_methods(["GET", "POST"])
def page(request: HttpRequest) -> HttpResponse:
    """Ask for a report; on POST, import it and list what was kept as plain text."""
    context: dict[str, Any] = {"title": _("Import a report"), "mib": MAX_BYTES >> 20, "pasted": ""}
    if request.method != "POST":
        return render(request, "portal/report_import.html", context)
    upload = request.FILES.get("file")
    pasted = request.POST.get("text", "")
    try:
        if upload is not None:
            name = upload.name or "report.md"
            text = decode(upload.read(MAX_BYTES + 1), name)
        else:
            name = _("pasted text")
            text = decode(pasted.encode(), name)
        done = import_text(text=text, name=name, now=timezone.now(), actor=actor(request))
    except ImportRefused as error:
        context |= {"refused": str(error), "pasted": pasted}
        return render(request, "portal/report_import.html", context, status=422)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    context |= {
        "done": done,
        "issues": [
            {"line": one.line, "text": describe(one), "source": lines[one.line - 1][:200]}
            for one in done.issues[:ISSUES_SHOWN]
        ],
        "more": max(0, len(done.issues) - ISSUES_SHOWN),
    }
    return render(request, "portal/report_import.html", context)
