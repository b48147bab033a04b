"""What may be done to which service, and how often. Pure.

A container allows verbs by its own label, or the worker's environment names it; a row never does. What is
Bonghwa's own needs the environment's word, since a label there would let it end itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Final

LABEL: Final = "bonghwa.actions"
#: Verbs that change something, and the one that only looks.
CHANGING: Final = ("restart", "stop", "start")
CHECK: Final = "check"
VERBS: Final = (*CHANGING, CHECK)
#: Verbs that bring a service (back) up: these are counted and spaced. Stopping is always possible.
COUNTED: Final = ("restart", "start")

WINDOW: Final = timedelta(minutes=30)
#: Seconds after the first, doubled after each further one, at most ``SPACING_MAX``.
SPACING_MAX: Final = 300.0


def permitted(
    *, runtime: str, name: str, labels: Mapping[str, str], targets: Iterable[str], own: bool
) -> frozenset[str]:
    """Return the verbs that may be used on a service.

    ``targets`` are patterns of ``runtime:name`` that the environment allows; ``own`` says that the service is
    a part of Bonghwa.
    """
    if any(fnmatchcase(f"{runtime}:{name}", pattern) for pattern in targets):
        return frozenset(VERBS)
    if own:
        return frozenset({CHECK})
    given = {word.strip().lower() for word in str(labels.get(LABEL, ""))[:200].split(",")}
    return frozenset(given & set(CHANGING)) | {CHECK}


@dataclass(frozen=True, slots=True, kw_only=True)
class TooSoon:
    """Why it cannot be restarted now. ``spent``: the budget is used up; else it is only too early."""

    spent: bool
    count: int
    until: datetime


def too_soon(earlier: Sequence[datetime], *, now: datetime, budget: int, spacing_s: float) -> TooSoon | None:
    """Return why ``now`` is too soon after ``earlier`` restarts, None when it may be done."""
    recent = sorted(at for at in earlier if now - WINDOW < at)
    if not recent:
        return None
    if len(recent) >= budget:
        return TooSoon(spent=True, count=len(recent), until=recent[-budget] + WINDOW)
    wait = min(spacing_s * 2 ** (len(recent) - 1), SPACING_MAX)
    until = recent[-1] + timedelta(seconds=wait)
    return TooSoon(spent=False, count=len(recent), until=until) if now < until else None
