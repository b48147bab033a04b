"""Errors of the incident services.

* IncidentError
    * IllegalMove: the lifecycle has no such step
    * IncidentChanged: somebody else moved it first; look again
    * StillFiring: alerts are still open
    * PreventionOpen: a P0 measure is neither verified nor waived
    * NotReviewed: a critical incident's report was not reviewed
    * NotAllowed: what was given makes no sense here; the text says what does

    * ReportLocked: the report was signed off; reopen it first
    * ReportChanged: somebody else saved the report first; look again
    * ReviewRefused: this person may not sign off, or not yet
"""

from __future__ import annotations


class IncidentError(Exception):
    """Base of every refusal; its text may be shown to a person."""


class IllegalMove(IncidentError):
    """The lifecycle has no step from the present state to the wanted one."""


class IncidentChanged(IncidentError):
    """Another worker or person moved the incident first."""


class StillFiring(IncidentError):
    """The incident has open alerts and cannot be resolved without force."""


class PreventionOpen(IncidentError):
    """A P0 measure is neither verified nor waived, so the incident cannot be closed."""


class NotReviewed(IncidentError):
    """A critical incident is closed only after its report was reviewed."""


class NotAllowed(IncidentError):
    """The request cannot be meant: no reason, an unknown person, a time in the future."""


class ReportLocked(IncidentError):
    """The report was signed off and changes only after it was reopened with a reason."""


class ReportChanged(IncidentError):
    """The report was saved by somebody else since this person looked at it."""


class ReviewRefused(IncidentError):
    """The sign-off needs another person, or an incident that is over, or a reason."""
