"""What somebody may do with an incident now, and why not the rest. Wording only; the services decide."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from incidents import closing
from incidents.models import Incident, State
from incidents.transitions import is_legal


@dataclass(frozen=True, slots=True)
class Option:
    """One button; ``why`` says what is in the way, empty when nothing is. ``next``: it leads on."""

    verb: str
    label: str
    icon: str
    why: str = ""
    next: bool = False


_TO = {
    "acknowledge": State.ACKNOWLEDGED,
    "mitigate": State.MITIGATED,
    "resolve": State.RESOLVED,
    "reopen": State.DETECTED,
    "review": State.REVIEWED,
    "unreview": State.RESOLVED,
    "close": State.CLOSED,
}
#: Moves that take something back.
_BACK = ("reopen", "unreview")
_ICONS = {
    "acknowledge": "front_hand",
    "mitigate": "healing",
    "resolve": "task_alt",
    "reopen": "local_fire_department",
    "review": "rate_review",
    "unreview": "undo",
    "close": "lock",
}


def moves(incident: Incident, firing: int) -> list[Option]:
    """Return the moves of the lifecycle: legal ones, and the next ones with what is in their way.

    ``firing`` is the number of its open alerts. At most two queries.
    """
    offered = [verb for verb, to in _TO.items() if _fits(incident, verb, to)]
    ways = [(verb, _why(incident, verb, firing)) for verb in offered]
    first = next((verb for verb, why in ways if not why and verb not in _BACK), "")
    return [Option(verb, _label(verb), _ICONS[verb], why, next=verb == first) for verb, why in ways]


def _fits(incident: Incident, verb: str, to: State) -> bool:
    if not is_legal(incident.state, to):
        return False
    if verb == "reopen":
        return incident.state == State.RESOLVED
    if verb == "unreview":
        return incident.state == State.REVIEWED
    return verb != "resolve" or incident.is_open


def _why(incident: Incident, verb: str, firing: int) -> str:
    if incident.merged_into is not None:
        return _("It was merged into INC-%(number)d.") % {"number": incident.merged_into.number}
    if verb == "resolve" and firing:
        return _("%(count)d alerts are still open.") % {"count": firing}
    return closing.obstacle(incident) if verb == "close" else ""


def _label(verb: str) -> str:
    return {
        "acknowledge": _("Acknowledge"),
        "mitigate": _("Mitigated"),
        "resolve": _("Resolve"),
        "reopen": _("Reopen"),
        "review": _("Reviewed"),
        "unreview": _("Take the review back"),
        "close": pgettext("incident", "Close"),
    }[verb]
