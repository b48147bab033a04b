"""Legal moves between the states of an incident; values of ``incidents.models.State``, no framework.

``detected`` → ``acknowledged`` → ``mitigated`` → ``resolved`` → ``reviewed`` → ``closed``. Steps may be
skipped up to ``resolved``; a mitigation that did not hold goes back; a resolved incident may reopen.
"""

from __future__ import annotations

from collections.abc import Mapping

MOVES: Mapping[str, frozenset[str]] = {
    "detected": frozenset({"acknowledged", "mitigated", "resolved"}),
    "acknowledged": frozenset({"mitigated", "resolved"}),
    "mitigated": frozenset({"detected", "acknowledged", "resolved"}),
    "resolved": frozenset({"detected", "reviewed", "closed"}),
    "reviewed": frozenset({"resolved", "closed"}),
    "closed": frozenset(),
}

#: Worst first; the position is the rank.
SEVERITIES = ("critical", "warning", "info")


def is_legal(state: str, to: str) -> bool:
    """Return whether an incident in ``state`` may move to ``to``."""
    return to in MOVES[state]


def worse(left: str, right: str) -> str:
    """Return the worse of two severities."""
    return min(left, right, key=SEVERITIES.index)
