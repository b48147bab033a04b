"""What must be true before an incident is closed for good."""

from __future__ import annotations

from django.utils.translation import gettext as _

from incidents import checklist
from incidents.errors import IncidentError, NotReviewed, PreventionOpen
from incidents.models import Incident, Severity


def check(incident: Incident) -> None:
    """Return when it may be closed; two queries.

    Raises:
        PreventionOpen: a P0 measure is neither verified nor waived.
        NotReviewed: it was critical and nobody reviewed its report.
    """
    if waiting := checklist.blocking(incident):
        more = _(" (and %(n)d more)") % {"n": len(waiting) - 1} if len(waiting) > 1 else ""
        text = _("P0 measure is neither verified nor waived: %(text)s") % {"text": waiting[0].text}
        raise PreventionOpen(text + more)
    if incident.severity == Severity.CRITICAL and not is_reviewed(incident):
        raise NotReviewed(_("Have the report reviewed first: the incident was critical."))


def is_reviewed(incident: Incident) -> bool:
    """Whether somebody reviewed the report of its last occurrence."""
    return incident.reviewed_at is not None and incident.reviewed_at >= incident.burning_since


def obstacle(incident: Incident) -> str:
    """Return why it may not be closed yet; empty when nothing is in the way."""
    try:
        check(incident)
    except IncidentError as error:
        return str(error)
    return ""
