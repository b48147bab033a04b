"""Review: a second person signs the report off, which locks it; reopening needs a reason."""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.utils.translation import gettext as _

from incidents import audit, services
from incidents.errors import ReportChanged, ReviewRefused
from incidents.models import Incident, Report, Severity, State, TimelineKind, VersionKind
from incidents.reports import versions

#: Severities whose report only somebody else than the incident's lead may sign off.
SECOND_PERSON = (Severity.CRITICAL,)
#: States in which a report may be signed off: the outage is over.
OVER = (State.RESOLVED, State.REVIEWED, State.CLOSED)


def may_sign(incident: Incident, actor: AbstractBaseUser) -> str:
    """Return why this person may not sign the report off now; empty when they may."""
    if incident.state not in OVER:
        return _("Resolve the incident first; its report is signed off afterwards.")
    if incident.severity in SECOND_PERSON and _led(incident, actor):
        return _("A critical incident's report is signed off by somebody else than its lead.")
    return ""


def _led(incident: Incident, actor: AbstractBaseUser) -> bool:
    """Whether this person leads the incident or did in its last occurrence: giving it up is no way around."""
    if incident.lead_id == actor.pk:
        return True
    led = incident.timeline.filter(kind=TimelineKind.LEAD, data__new=actor.get_username())
    return led.filter(at__gte=incident.burning_since).exists()


def review_incident(*, incident: Incident, actor: AbstractBaseUser, at: datetime, reason: str = "") -> None:
    """Move an incident to reviewed: its report, if it has one, is signed off with it.

    Raises:
        As :func:`sign_off`.
    """
    report = Report.objects.filter(incident=incident).first()
    if report is not None and not report.locked:
        sign_off(report=report, actor=actor, at=at, note=reason)
        return
    if incident.state == State.RESOLVED and (why := may_sign(incident, actor)):
        raise ReviewRefused(why)
    services.review(incident=incident, at=at, actor=actor, reason=reason)


def sign_off(
    *, report: Report, actor: AbstractBaseUser, at: datetime, seen: int | None = None, note: str = ""
) -> Report:
    """Sign off what the person read; the report is locked and a resolved incident becomes reviewed.

    Raises:
        ReviewRefused: see :func:`may_sign`.
        ReportLocked: somebody signed it off already.
        ReportChanged: there is a newer version than the one that was read.
        IncidentError: the incident cannot become reviewed.
    """
    with transaction.atomic():
        held = _held(report)
        versions.refuse_locked(held)
        if seen is not None and held.revision != seen:
            raise ReportChanged(
                _("Version %(number)d was saved since you read the report. Read it before you sign.")
                % {"number": held.revision}
            )
        if why := may_sign(held.incident, actor):
            raise ReviewRefused(why)
        _sign(held, actor, at)
        versions.keep(held, kind=VersionKind.SIGNED, at=at, actor=actor, reason=note)
        # Every move locks the incident first and the audit last.
        if held.incident.state == State.RESOLVED:
            services.review(incident=held.incident, at=at, actor=actor, reason=note)
        audit.record(
            action="report.lock",
            actor=actor,
            target=str(held.incident),
            reason=note,
            after={"version": held.revision},
            at=at,
        )
    return held


def reopen(*, report: Report, actor: AbstractBaseUser, at: datetime, reason: str) -> Report:
    """Unlock a report that was signed off; a reviewed incident is resolved again until the next sign-off.

    Raises:
        ReviewRefused: no reason, or it is not signed off.
        IncidentChanged: somebody moved the incident at the same time.
    """
    if not reason.strip():
        raise ReviewRefused(_("Give a reason; it is kept."))
    with transaction.atomic():
        held = _held(report)
        if not held.locked:
            raise ReviewRefused(_("The report is not signed off."))
        _sign(held, None, None)
        versions.keep(held, kind=VersionKind.REOPENED, at=at, actor=actor, reason=reason)
        if held.incident.state == State.REVIEWED:
            # Not services.resolve: the outage ended before and nobody is to be told again that it did.
            services.unreview(incident=held.incident, at=at, actor=actor, reason=reason)
        audit.record(
            action="report.reopen",
            actor=actor,
            target=str(held.incident),
            reason=reason,
            after={"version": held.revision},
            at=at,
        )
    return held


def _held(report: Report) -> Report:
    return Report.objects.select_for_update(of=("self",)).select_related("incident").get(pk=report.pk)


def _sign(report: Report, actor: AbstractBaseUser | None, at: datetime | None) -> None:
    report.signed_at, report.signed_by_id = at, actor.pk if actor else None
    report.save(update_fields=["signed_at", "signed_by"])
