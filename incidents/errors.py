"""Errors of the incident services.

* IncidentError
    * IllegalMove: the lifecycle has no such step
    * IncidentChanged: somebody else moved it first; look again
    * StillFiring: alerts are still open
    * PreventionOpen: a P0 measure is neither verified nor waived
    * NotReviewed: a critical incident's report was not reviewed
    * NotAllowed: what was given makes no sense here; the text says what does
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
