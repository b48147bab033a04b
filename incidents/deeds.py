"""Puts what was done to an incident into the audit, beside its entry on the timeline."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.contrib.auth.models import AbstractBaseUser

from incidents import audit
from incidents.models import Incident, State

#: The deed that leads to each state. What an alert undoes is no deed.
_VERBS = {
    State.ACKNOWLEDGED: "acknowledge",
    State.MITIGATED: "mitigate",
    State.RESOLVED: "resolve",
    State.REVIEWED: "review",
    State.CLOSED: "close",
}


def audited(
    incident: Incident,
    verb: str,
    *,
    at: datetime,
    actor: AbstractBaseUser | None,
    reason: str = "",
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Audit ``incident.VERB``. Call it once the incident is locked, so that nobody waits in a circle."""
    audit.record(
        action=f"incident.{verb}",
        actor=actor,
        target=f"INC-{incident.number}",
        reason=reason,
        before=before,
        after=after,
        at=at,
    )


def moved(
    incident: Incident, old: str, to: State, *, at: datetime, actor: AbstractBaseUser | None, reason: str = ""
) -> None:
    """Audit a move of the lifecycle; ``actor`` None is Bonghwa itself."""
    verb = "unreview" if old == State.REVIEWED and to is State.RESOLVED else _VERBS.get(to)
    if verb is not None:
        before, after = {"state": str(old)}, {"state": to.value}
        audited(incident, verb, at=at, actor=actor, reason=reason, before=before, after=after)
