"""Where other apps plug in what they can check or capture, so that incidents import nothing of theirs.

``AppConfig.ready`` of the plugging app registers; names are unique and registering twice is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from incidents.models.checklist import Outcome
from incidents.models.evidence import EvidenceKind

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise


@dataclass(frozen=True, slots=True)
class Verdict:
    """One verification: the outcome, the value seen, and how it was looked up."""

    outcome: Outcome
    observed: str
    method: str


@dataclass(frozen=True, slots=True)
class Verifier:
    """A named check. ``check`` gets the item's target and parameters; it never raises for a failed target.

    ``defaults`` are the parameters and their default values; ``matches`` are lower-case words that bind
    an imported checklist line to this verifier (all of one tuple must occur).
    """

    name: str
    label: StrPromise | str
    check: Callable[[str, Mapping[str, Any]], Verdict]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    matches: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Captured:
    """One bundle of evidence, before redaction and compression. ``data`` is JSON-encodable."""

    kind: EvidenceKind
    subject: str
    data: Mapping[str, Any]
    partial: bool = False
    note: str = ""


#: Gets the incident's service names and the time; yields bundles. Must stay under 15 s in all.
Collector = Callable[[list[str], datetime], Iterable[Captured]]

#: Gets service names and a span of time that is over; yields bundles of what was measured in it.
Follower = Callable[[list[str], datetime, datetime], Iterable[Captured]]

_verifiers: dict[str, Verifier] = {}
_collectors: dict[str, Collector] = {}
_followers: dict[str, Follower] = {}


def register_verifier(verifier: Verifier) -> None:
    """Make ``verifier`` selectable in checklists.

    Raises:
        ValueError: the name is taken.
    """
    if verifier.name in _verifiers:
        raise ValueError(f"verifier {verifier.name!r} is registered already")
    _verifiers[verifier.name] = verifier


def register_collector(name: str, collector: Collector) -> None:
    """Add an evidence collector; collectors run in the order of their registration.

    Raises:
        ValueError: the name is taken.
    """
    if name in _collectors:
        raise ValueError(f"collector {name!r} is registered already")
    _collectors[name] = collector


def verifiers() -> Mapping[str, Verifier]:
    """Return the verifiers by name."""
    return _verifiers


def collectors() -> Mapping[str, Collector]:
    """Return the evidence collectors by name."""
    return _collectors


def register_follower(name: str, follower: Follower) -> None:
    """Add a source of the minutes after an incident began.

    Raises:
        ValueError: the name is taken.
    """
    if name in _followers:
        raise ValueError(f"follower {name!r} is registered already")
    _followers[name] = follower


def followers() -> Mapping[str, Follower]:
    """Return the sources of the minutes after by name."""
    return _followers
