"""What somebody may do with an incident now, and why not the rest. Wording only; the services decide."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from incidents import closing
from incidents.models import Incident
from incidents.transitions import is_legal


@dataclass(frozen=True, slots=True)
class Option:
    """One button; ``why`` says what is in the way, empty when nothing is. ``next``: it leads on."""

    verb: str
    label: str
    icon: str
    why: str = ""
    next: bool = False


#: Moves that take something back.
_BACK = ("reopen", "unmitigate", "unreview")
#: In the order in which they are offered: the next step first.
_ICONS = {
    "acknowledge": "front_hand",
    "mitigate": "healing",
    "resolve": "task_alt",
    "unmitigate": "undo",
    "reopen": "local_fire_department",
    "review": "rate_review",
    "unreview": "undo",
    "close": "lock",
}


def moves(incident: Incident, firing: int) -> list[Option]:
    """Return the moves of the lifecycle: legal ones, and the next ones with what is in their way.

    ``firing`` is the number of its open alerts. At most two queries.
    """
    ways = [(verb, _why(incident, verb, firing)) for verb in _ICONS if is_legal(verb, incident.state)]
    first = next((verb for verb, why in ways if not why and verb not in _BACK), "")
    return [Option(verb, _label(verb), _ICONS[verb], why, next=verb == first) for verb, why in ways]


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
        "unmitigate": _("Take the mitigation back"),
        "reopen": _("Reopen"),
        "review": _("Reviewed"),
        "unreview": _("Take the review back"),
        "close": pgettext("incident", "Close"),
    }[verb]
