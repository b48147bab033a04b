"""The only door through which an incident changes: keyword-only calls, conditional UPDATEs, one timeline."""

from __future__ import annotations

from incidents.joining import merge, split
from incidents.lifecycle import (
    acknowledge,
    close,
    mitigate,
    resolve,
    resolve_green,
    review,
    unmitigate,
    unmitigate_if_firing,
    unreview,
)
from incidents.numbering import create_incident
from incidents.openings import REOPEN_WITHIN, reopen_by_hand
from incidents.people import change_severity, correct_impact, set_lead, star
from incidents.signals import RACE_TRIES, Signalled, clear, signal
from incidents.timeline import add_note, record

__all__ = [
    "RACE_TRIES",
    "REOPEN_WITHIN",
    "Signalled",
    "acknowledge",
    "add_note",
    "change_severity",
    "clear",
    "close",
    "correct_impact",
    "create_incident",
    "merge",
    "mitigate",
    "record",
    "reopen_by_hand",
    "resolve",
    "resolve_green",
    "review",
    "set_lead",
    "signal",
    "split",
    "star",
    "unmitigate",
    "unmitigate_if_firing",
    "unreview",
]
