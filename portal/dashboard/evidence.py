"""Downloads of frozen evidence, for editors: one bundle, or all of an incident with its checksums."""

from __future__ import annotations

import tempfile

from django.contrib import messages
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.http import require_GET

from incidents import evidence_files
from incidents.evidence import EvidenceDamaged, raw_bytes
from incidents.models import Evidence, Incident
from portal.dashboard.access import viewer_required

#: Bytes of an archive that are kept in memory; what is larger goes to a temporary file.
IN_MEMORY = 8 * 1024 * 1024


@viewer_required
@require_GET
def one(request: HttpRequest, number: int, pk: int) -> HttpResponse:
    """Send one bundle after checking it; a damaged one is told on the page."""
    actor = _editor(request)
    found = get_object_or_404(Evidence.objects.select_related("incident"), pk=pk, incident__number=number)
    try:
        raw = raw_bytes(found)
    except EvidenceDamaged as error:
        messages.error(request, str(error))
        return redirect("incident", number=number)
    name = evidence_files.file_name(found)
    evidence_files.note_download(incident=found.incident, what=name, at=timezone.now(), actor=actor)
    response = HttpResponse(raw, content_type="application/json")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["X-Content-SHA256"] = found.sha256
    return response


@viewer_required
@require_GET
def everything(request: HttpRequest, number: int) -> HttpResponseBase:
    """Send a zip of all that is intact; its manifest names what is not."""
    actor = _editor(request)
    found = get_object_or_404(Incident, number=number)
    file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - the response closes it
    manifest = evidence_files.write_archive(found, file)
    file.seek(0)
    name = f"INC-{found.number}-evidence.zip"
    evidence_files.note_download(
        incident=found, what=name, at=timezone.now(), actor=actor, damaged=len(manifest.damaged)
    )
    return FileResponse(file, as_attachment=True, filename=name, content_type="application/zip")


def _editor(request: HttpRequest) -> AbstractBaseUser:
    user = request.user
    if not user.has_perm(evidence_files.PERMISSION) or not isinstance(user, AbstractBaseUser):
        raise PermissionDenied
    return user
