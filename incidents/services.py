"""The only door through which an incident changes: keyword-only calls, conditional UPDATEs, one timeline."""

from __future__ import annotations

from incidents.lifecycle import acknowledge, close, mitigate, resolve, resolve_green, review
from incidents.numbering import create_incident
from incidents.signals import RACE_TRIES, REOPEN_WITHIN, Signalled, clear, signal
from incidents.timeline import add_note, record

__all__ = [
    "RACE_TRIES",
    "REOPEN_WITHIN",
    "Signalled",
    "acknowledge",
    "add_note",
    "clear",
    "close",
    "create_incident",
    "mitigate",
    "record",
    "resolve",
    "resolve_green",
    "review",
    "signal",
]
