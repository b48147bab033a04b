"""What changed in the day before an incident: configurations, images and deeds, newest first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from incidents.models import AuditEntry, Incident
from portal.dashboard import audit
from portal.monitoring.models import ConfigSnapshot
from portal.monitoring.snapshots import Change, differences

#: How long before the impact (or, without one, the opening) a change counts.
BEFORE = timedelta(hours=24)
#: A change that was seen this long after the opening may still have made it: sweeps look every few seconds.
SLACK = timedelta(minutes=2)
#: Changes shown, differences told of each, and snapshots read.
SHOWN = 20
WORDS_MAX = 6
READ = 2000
#: Audited deeds that cannot have caused an incident: on incidents, at the door, and what was refused.
NO_CAUSE = (
    r"^((incident|item|pack|report|evidence|audit|drill|auth|alert|alarm|log)\."
    r"|(service|gateway)\.\w+\.refused$)"
)
#: Characters of a value.
VALUE_MAX = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """One change; ``own``: of a service of the incident."""

    at: datetime
    service: str
    service_id: int
    own: bool
    icon: str
    words: Sequence[str]


def before(incident: Incident) -> list[Changed]:
    """Return what changed before ``incident``: two queries. Its own services come first at the same time."""
    start = (incident.impact_started_at or incident.opened_at) - BEFORE
    until = incident.burning_since + SLACK
    rows = ConfigSnapshot.objects.filter(service__snapshots__last_at__gte=start, first_at__lte=until)
    rows = rows.select_related("service").order_by("service", "first_at", "pk").distinct()
    found: list[Changed] = []
    for _service, snapshots in groupby(rows[:READ], key=lambda row: row.service_id):
        found += _of_service(list(snapshots), set(incident.services), start, until)
    found += _deeds(start, incident.burning_since, set(incident.services))
    found.sort(key=lambda one: (one.at, one.own), reverse=True)
    return found[:SHOWN]


def _deeds(start: datetime, until: datetime, names: set[str]) -> Iterator[Changed]:
    """Yield what people and Bonghwa did to services and settings; what they did to incidents is no cause.

    Unlike a change that a sweep saw, a deed has its own time: one after the opening answers the incident.
    """
    rows = AuditEntry.objects.filter(at__gte=start, at__lte=until).exclude(action__regex=NO_CAUSE)
    for row in rows.order_by("-at")[:SHOWN]:
        words = [f"{audit.word(row.action)} · {row.actor_name or 'Bonghwa'}"]
        words += [row.reason[:VALUE_MAX]] if row.reason else []
        yield Changed(
            at=row.at,
            service=row.target[:VALUE_MAX],
            service_id=0,
            own=row.target in names,
            icon="shield_person",
            words=words,
        )


def _of_service(
    snapshots: Sequence[ConfigSnapshot], names: set[str], start: datetime, until: datetime
) -> Iterator[Changed]:
    """Walk the known starts of one service; of a configuration only the first and the last are known."""
    starts = sorted({(at, row.pk) for row in snapshots for at in (row.first_at, row.last_at)})
    by_key = {row.pk: row for row in snapshots}
    previous: ConfigSnapshot | None = None
    for at, key in starts:
        row = by_key[key]
        if start <= at <= until:
            icon, words = _words(previous, row)
            yield Changed(
                at=at,
                service=row.service.name,
                service_id=row.service_id,
                own=row.service.name in names,
                icon=icon,
                words=words,
            )
        previous = row


def _words(previous: ConfigSnapshot | None, row: ConfigSnapshot) -> tuple[str, list[str]]:
    if previous is None:
        if not (image := str(row.config.get("image") or "")):
            return "add_circle", [pgettext("service", "first seen")]
        return "add_circle", [_("first seen, image %(image)s") % {"image": image[:VALUE_MAX]}]
    if previous.pk == row.pk:
        return "restart_alt", [_("started again with the same configuration")]
    changes = differences(previous.config, row.config)
    # The image decides what runs; its id alone changes when a tag was pushed anew.
    changes.sort(key=lambda one: (one.path != "image", one.path != "image_id"))
    if any(one.path == "image" for one in changes):
        changes = [one for one in changes if one.path != "image_id"]
    return ("deployed_code" if _is_image(changes) else "tune"), list(in_words(changes))


def _is_image(changes: Sequence[Change]) -> bool:
    return bool(changes) and changes[0].path in ("image", "image_id")


def in_words(changes: Iterable[Change]) -> Iterator[str]:
    """Yield each difference in words, at most :data:`WORDS_MAX`, and how many more there are."""
    told = list(changes)
    for change in told[:WORDS_MAX]:
        yield _phrase(change)
    if (more := len(told) - WORDS_MAX) > 0:
        yield ngettext("and %(n)d more difference", "and %(n)d more differences", more) % {"n": more}


def _phrase(change: Change) -> str:
    old, new = (None if one is None else one[:VALUE_MAX] for one in (change.before, change.after))
    values = {"path": change.path, "old": old, "new": new}
    if change.path == "image_id":
        return _("the image behind the tag is another one")
    if change.path == "image":
        return _("image %(old)s → %(new)s") % {"old": old or "—", "new": new or "—"}
    if old is None:
        return _("%(path)s added: %(new)s") % values
    if new is None:
        return _("%(path)s removed, it was %(old)s") % values
    return _("%(path)s: %(old)s → %(new)s") % values
