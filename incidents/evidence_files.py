"""Evidence as files: one bundle as JSON, or all of an incident as a zip with a manifest of checksums.

Every bundle is checked against its checksum before it is sent, and every download is on the timeline.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any

from django.contrib.auth.models import AbstractBaseUser

from incidents.evidence import EvidenceDamaged, raw_bytes
from incidents.models import Evidence, Incident, TimelineKind
from incidents.timeline import record

#: What somebody needs in order to download evidence.
PERMISSION = "incidents.change_report"
#: Bundles in one archive; an incident has fewer unless it reopened many times.
ARCHIVE_MAX = 400
#: Time stamped on the archive's entries, so that the same evidence gives the same bytes.
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(slots=True)
class Manifest:
    """What an archive holds; ``damaged`` bundles do not match their checksum and are left out."""

    incident: int
    entries: list[dict[str, Any]] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    left_out: int = 0


def file_name(evidence: Evidence) -> str:
    """Return the name of a bundle's file: ASCII, without anything that a watched system chose."""
    return f"INC-{evidence.incident.number}-E{evidence.pk}-{evidence.kind}.json"


def write_archive(incident: Incident, target: IO[bytes]) -> Manifest:
    """Write the zip of an incident's evidence; one bundle is in memory at a time."""
    manifest = Manifest(incident.number)
    keys = list(incident.evidence.order_by("pk").values_list("pk", flat=True))
    manifest.left_out = max(0, len(keys) - ARCHIVE_MAX)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for pk in keys[:ARCHIVE_MAX]:
            row = Evidence.objects.select_related("incident").get(pk=pk)
            try:
                raw = raw_bytes(row)
            except EvidenceDamaged:
                manifest.damaged.append(f"E{row.pk}")
                continue
            _add(archive, file_name(row), raw)
            manifest.entries.append(_entry(row))
        _add(archive, "manifest.json", _manifest_json(manifest))
        sums = "".join(f"{one['sha256']}  {one['file']}\n" for one in manifest.entries)
        _add(archive, "SHA256SUMS", sums.encode())
    return manifest


def note_download(
    *, incident: Incident, what: str, at: datetime, actor: AbstractBaseUser, damaged: int = 0
) -> None:
    """Put on the timeline who took what along."""
    more = {"damaged": damaged} if damaged else {}
    record(incident=incident, kind=TimelineKind.DOWNLOAD, at=at, actor=actor, file=what, **more)


def _entry(row: Evidence) -> dict[str, Any]:
    return {
        "file": file_name(row),
        "sha256": row.sha256,
        "size": row.size,
        "kind": row.kind,
        "subject": row.subject,
        "captured_at": row.captured_at.isoformat(),
        "trigger": row.trigger,
        "continues": f"E{row.continues_id}" if row.continues_id else None,
        "partial": row.partial,
        "note": row.note,
    }


def _manifest_json(manifest: Manifest) -> bytes:
    content = {
        "incident": f"INC-{manifest.incident}",
        "evidence": manifest.entries,
        "damaged": manifest.damaged,
        "left_out": manifest.left_out,
    }
    return json.dumps(content, ensure_ascii=False, indent=1).encode()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(info, content)
