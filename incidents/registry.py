"""Where other apps plug in what they can check or capture, so that incidents import nothing of theirs.

``AppConfig.ready`` of the plugging app registers; names are unique and registering twice is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from incidents.models.checklist import Outcome
from incidents.models.evidence import EvidenceKind

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

    from incidents.models.checklist import ChecklistItem


@dataclass(frozen=True, slots=True)
class Verdict:
    """One verification: the outcome, the value seen, and how it was looked up.

    ``gone`` goes with *unknown*: the target does not exist any more, as opposed to giving no answer now.
    """

    outcome: Outcome
    observed: str
    method: str
    gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """How one parameter is asked for in a form, so that nobody writes JSON.

    ``kind`` is ``number``, ``integer``, ``size`` (``2g``), ``text``, ``choice`` (one of what ``choices``
    offers) or ``choices`` (a list of them). ``least`` and ``most`` bound numbers.
    """

    name: str
    label: StrPromise | str
    kind: str = "text"
    least: float | None = None
    most: float | None = None
    help: StrPromise | str = ""
    choices: Callable[[], Sequence[tuple[str, Any]]] | None = None
    required: bool = True


@dataclass(frozen=True, slots=True)
class Verifier:
    """A named check. ``check`` gets the item's target and parameters; it never raises for a failed target.

    ``defaults`` are the parameters and their default values, ``parameters`` their form; ``matches`` are
    lower-case words that bind an imported checklist line to this verifier (all of one tuple must occur).
    ``targets`` lists what may be chosen as its target; ``None`` when it needs none. ``help`` says when it
    passes and what its target is.
    """

    name: str
    label: StrPromise | str
    check: Callable[[str, Mapping[str, Any]], Verdict]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    matches: tuple[tuple[str, ...], ...] = ()
    parameters: tuple[Parameter, ...] = ()
    targets: Callable[[], Sequence[str]] | None = None
    help: StrPromise | str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What speaks about an item beside its verifier: what it showed, and since when that is known."""

    verdict: Verdict
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeSeen:
    """One change of a target's surroundings: what, from which value to which (empty is absent), and when."""

    what: str
    before: str
    after: str
    at: datetime


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

#: Gets a verifier's name, the target, and a span of time; returns what changed in it that may have broken it.
Explainer = Callable[[str, str, datetime, datetime], Sequence[ChangeSeen]]

#: Gets an item that has a verifier; returns what else is known about it, or None.
Witness = Callable[["ChecklistItem"], Statement | None]

Registered = TypeVar("Registered")
_verifiers: dict[str, Verifier] = {}
_witnesses: dict[str, Witness] = {}
_explainers: dict[str, Explainer] = {}
_collectors: dict[str, Collector] = {}
_followers: dict[str, Follower] = {}


def _add(registered: dict[str, Registered], kind: str, name: str, value: Registered) -> None:
    if name in registered:
        raise ValueError(f"{kind} {name!r} is registered already")
    registered[name] = value


def register_verifier(verifier: Verifier) -> None:
    """Make ``verifier`` selectable in checklists.

    Raises:
        ValueError: the name is taken.
    """
    _add(_verifiers, "verifier", verifier.name, verifier)


def register_collector(name: str, collector: Collector) -> None:
    """Add an evidence collector; collectors run in the order of their registration.

    Raises:
        ValueError: the name is taken.
    """
    _add(_collectors, "collector", name, collector)


def register_explainer(name: str, explainer: Explainer) -> None:
    """Add a source of changes that explain why an item began to fail.

    Raises:
        ValueError: the name is taken.
    """
    _add(_explainers, "explainer", name, explainer)


def register_witness(name: str, witness: Witness) -> None:
    """Add evidence that counts beside an item's verifier.

    Raises:
        ValueError: the name is taken.
    """
    _add(_witnesses, "witness", name, witness)


def witnesses() -> Mapping[str, Witness]:
    """Return the witnesses by name."""
    return _witnesses


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
    _add(_followers, "follower", name, follower)


def followers() -> Mapping[str, Follower]:
    """Return the sources of the minutes after by name."""
    return _followers


def explainers() -> Mapping[str, Explainer]:
    """Return the sources of changes by name."""
    return _explainers
