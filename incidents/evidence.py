"""Freezes what was measured: bounded in time and size, redacted, compressed, checksummed."""

from __future__ import annotations

import hashlib
import json
import logging
import time
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from incidents import registry
from incidents.models import Evidence, Incident, TimelineKind, Trigger
from incidents.redaction import redact
from incidents.registry import Captured
from incidents.timeline import record

logger = logging.getLogger(__name__)

#: Seconds for all collectors together; a collector that has begun is not cut off by this.
BUDGET_S = 15.0
#: Largest bundle, unpacked, in bytes.
MAX_BYTES = 5 * 1024 * 1024
#: Bundles of one freeze.
MAX_BUNDLES = 60


class EvidenceDamaged(Exception):
    """The payload does not match its checksum or is no JSON object."""


def capture(
    *,
    incident: Incident,
    now: datetime,
    clock: Callable[[], float] = time.monotonic,
    trigger: Trigger = Trigger.OPENING,
    only: Collection[str] | None = None,
    services: Sequence[str] | None = None,
) -> list[Evidence]:
    """Run the registered collectors, or ``only`` those, and keep what they yield.

    ``services`` are those of the incident unless given.

    A collector that fails is a line in the timeline and never stops the others; those for which no time
    is left are named there as well.
    """
    deadline = clock() + BUDGET_S
    kept: list[Evidence] = []
    names = list(incident.services if services is None else services)
    for name, collector in registry.collectors().items():
        if only is not None and name not in only:
            continue
        if clock() >= deadline or len(kept) >= MAX_BUNDLES:
            _failed(incident, name, "no time left", now)
            continue
        try:
            for bundle in collector(names, now):
                kept.append(keep(incident=incident, bundle=bundle, at=now, trigger=trigger))
                if clock() >= deadline or len(kept) >= MAX_BUNDLES:
                    break
        except Exception as error:
            # A collector is another app's code; what it could not read must not cost the rest.
            logger.exception("Evidence collector %s failed for INC-%s", name, incident.number)
            _failed(incident, name, f"{type(error).__name__}: {error}", now)
    return kept


def keep(
    *,
    incident: Incident,
    bundle: Captured,
    at: datetime,
    trigger: Trigger = Trigger.OPENING,
    continues: Evidence | None = None,
) -> Evidence:
    """Store one bundle: redacted, cut to :data:`MAX_BYTES`, with its checksum over the unpacked bytes."""
    raw, cut = _encode(redact(dict(bundle.data)))
    note = "; ".join(part for part in (bundle.note, "cut to 5 MiB" if cut else "") if part)
    evidence = Evidence.objects.create(
        incident=incident,
        kind=bundle.kind,
        subject=bundle.subject[:200],
        trigger=trigger,
        continues=continues,
        captured_at=at,
        payload=zlib.compress(raw, 6),
        size=len(raw),
        sha256=hashlib.sha256(raw).hexdigest(),
        partial=bundle.partial or cut,
        note=note[:300],
    )
    record(
        incident=incident,
        kind=TimelineKind.EVIDENCE,
        at=at,
        evidence_id=evidence.pk,
        subject=bundle.subject,
        sha256=evidence.sha256,
        partial=evidence.partial,
        note=evidence.note,
        trigger=trigger.value,
    )
    return evidence


def load(evidence: Evidence) -> Mapping[str, Any]:
    """Return the bundle.

    Raises:
        EvidenceDamaged: it was changed since it was frozen.
    """
    data = json.loads(raw_bytes(evidence))
    if not isinstance(data, dict):
        raise EvidenceDamaged(f"Evidence E{evidence.pk} is no JSON object")
    return data


def raw_bytes(evidence: Evidence) -> bytes:
    """Return the unpacked JSON.

    Raises:
        EvidenceDamaged: it was changed since it was frozen.
    """
    unpacker = zlib.decompressobj()
    try:
        raw = unpacker.decompress(bytes(evidence.payload), MAX_BYTES + 1)
    except zlib.error as error:
        raise EvidenceDamaged(f"Evidence E{evidence.pk} cannot be unpacked: {error}") from error
    if hashlib.sha256(raw).hexdigest() != evidence.sha256:
        raise EvidenceDamaged(f"Evidence E{evidence.pk} does not match its checksum")
    return raw


def _encode(data: Any) -> tuple[bytes, bool]:
    raw = _dump(data)
    cut = False
    while len(raw) > MAX_BYTES:
        cut = True
        if not _halve_largest(data):
            raw = _dump({"dropped": f"{len(raw)} bytes"})
            break
        raw = _dump(data)
    return raw, cut


def _dump(data: Any) -> bytes:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), default=str).encode(
        "utf-8", "backslashreplace"
    )


def _halve_largest(data: Any) -> bool:
    """Cut the largest list of a bundle's first two levels in half (the newest entries stay)."""
    holders = [data, *(value for value in data.values() if isinstance(value, dict))]
    lists = [
        (len(_dump(value)), holder, key)
        for holder in holders
        for key, value in holder.items()
        if isinstance(value, list) and len(value) > 1
    ]
    if not lists:
        return False
    _size, holder, key = max(lists, key=lambda found: found[0])
    holder[key] = holder[key][len(holder[key]) // 2 :]
    return True


def _failed(incident: Incident, name: str, why: str, at: datetime) -> None:
    record(incident=incident, kind=TimelineKind.EVIDENCE, at=at, collector=name, error=redact(why)[:300])
