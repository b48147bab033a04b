"""Legal moves between the states of an incident; values of ``incidents.models.State``, no framework.

``detected`` → ``acknowledged`` → ``mitigated`` → ``resolved`` → ``reviewed`` → ``closed``. Steps may be
skipped up to ``resolved``. A mitigation that did not hold goes back to what it was before, within the same
occurrence; a resolved incident that reopens begins another one, which nobody has acknowledged yet.
"""

from __future__ import annotations

from collections.abc import Mapping

#: The states from which each call moves an incident on, or takes a step back.
CALLS: Mapping[str, frozenset[str]] = {
    "acknowledge": frozenset({"detected"}),
    "mitigate": frozenset({"detected", "acknowledged"}),
    "unmitigate": frozenset({"mitigated"}),
    "resolve": frozenset({"detected", "acknowledged", "mitigated"}),
    "reopen": frozenset({"resolved"}),
    "review": frozenset({"resolved"}),
    "unreview": frozenset({"reviewed"}),
    "close": frozenset({"resolved", "reviewed"}),
}

#: Worst first; the position is the rank.
SEVERITIES = ("critical", "warning", "info")


def is_legal(call: str, state: str) -> bool:
    """Return whether ``call`` may be made on an incident in ``state``."""
    return state in CALLS[call]


def worse(left: str, right: str) -> str:
    """Return the worse of two severities."""
    return min(left, right, key=SEVERITIES.index)
