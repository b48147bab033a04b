"""Puts what was done to an incident into the audit, beside its entry on the timeline."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from incidents import audit
from incidents.models import Incident, State


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
    incident: Incident,
    call: str,
    old: str,
    to: State,
    *,
    at: datetime,
    actor: AbstractBaseUser | None,
    reason: str = "",
    later: bool = False,
) -> None:
    """Audit a move of the lifecycle; ``actor`` None is Bonghwa itself, ``later`` once it is committed."""
    entry = partial(
        audited,
        incident,
        call,
        at=at,
        actor=actor,
        reason=reason,
        before={"state": str(old)},
        after={"state": to.value},
    )
    if later:
        transaction.on_commit(entry, robust=True)
    else:
        entry()
