"""What the product's own database holds of what people wrote and of what was detected."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping

from django.db import close_old_connections

from incidents.audit_check import verify
from incidents.models import (
    AuditEntry,
    ChecklistItem,
    Incident,
    ItemState,
    ReportVersion,
    TimelineEvent,
    TimelineKind,
    VersionKind,
)
from portal.monitoring.models import Alert, RuntimeKind
from tests.faults.ledger import Ledger, Mark
from tests.proof import seen
from tests.receiver import Receiver

_CLAIMED = re.compile(r"#(\d+) mark-")


def fingerprint(name: str) -> str:
    """Return the fingerprint of the incidents of a supervised program."""
    return f"service:{RuntimeKind.PROCESS.value}:{name}"


def rows() -> Mapping[Mark, int]:
    """Return how many rows each mark has: notes, report versions, measures, and claims in the audit."""
    close_old_connections()
    found: Counter[Mark] = Counter()
    notes = TimelineEvent.objects.filter(kind=TimelineKind.NOTE, text__startswith="mark-")
    found.update(("note", text) for text in notes.values_list("text", flat=True))
    items = ChecklistItem.objects.filter(text__startswith="mark-")
    found.update(("item", text) for text in items.values_list("text", flat=True))
    edits = ReportVersion.objects.filter(kind=VersionKind.EDITED).values_list("document", flat=True)
    for document in edits.iterator():
        found.update(("edit", mark) for mark in re.findall(r"mark-\d+", str(document))[:1])
    claims = AuditEntry.objects.filter(action="item.claim").values_list("target", flat=True)
    found.update(("claim", match[1]) for target in claims if (match := _CLAIMED.search(target)))
    return found


def problems(ledger: Ledger) -> list[str]:
    """Return what is wrong with what people wrote, and with the audit."""
    promised = ledger.promised()
    found = ledger.problems(rows(), promised)
    claimed = {int(number) for kind, number in promised if kind == "claim"}
    states = dict(ChecklistItem.objects.filter(pk__in=claimed).values_list("pk", "state"))
    if wrong := [number for number in claimed if states.get(number) != ItemState.CLAIMED]:
        found.append(f"{len(wrong)} measures lost their claim")
    finding = verify().finding
    if finding is not None:
        found.append(f"audit entry {finding.seq} {finding.fault.value}")
    return found


def told(name: str, receiver: Receiver) -> bool:
    """Whether the incident of a program is open and its message has arrived."""
    close_old_connections()
    incident = Incident.objects.filter(fingerprint=fingerprint(name)).first()
    return incident is not None and bool(seen.received(receiver, incident))


def detected(names: Collection[str], receiver: Receiver) -> list[str]:
    """Return what is wrong with programs that fell ill: each needs one incident, one alert, one message."""
    close_old_connections()
    found = []
    for name in names:
        incidents = list(Incident.objects.filter(fingerprint=fingerprint(name)))
        if [one.reopened for one in incidents] != [0]:
            found.append(f"{name}: {len(incidents)} incidents")
        alerts = Alert.objects.filter(service__name=name, rule__name="health-streak")
        if alerts.count() != 1:
            found.append(f"{name}: {alerts.count()} alerts")
        wrong = [seen.delivered_once(receiver, one) for one in incidents]
        found.extend(f"{name}: {one}" for one in wrong if one)
    return found
