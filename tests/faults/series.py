"""Faults of a site one after the other, on one product."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module

from tests.faults.site import Site
from tests.faults.table import Result


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that lasts as long as its block; ``lasts`` in seconds, 0 for what happens at once."""

    name: str
    play: Callable[[Site], AbstractContextManager[None]]
    lasts: float = 0.0
    #: Longest recovery in seconds that is promised.
    promise: float = 60.0
    #: Whether people can work on while it lasts.
    works: bool = False
    #: Whether a program falls ill meanwhile: it takes a minute until that is told.
    ill: bool = True


def series(
    faults: Sequence[Fault], ready: Callable[[], AbstractContextManager[Site]], slack: float
) -> Iterator[Result]:
    """Play ``faults``; the last line is what must hold after all of them."""
    if not faults:
        return
    with ready() as site:
        # Its models can be imported only now that Django knows the product's database.
        playing = import_module("tests.faults.playing")
        for fault in faults:
            yield playing.play(site, fault, slack)
        yield playing.settle(site, slack)


def chosen(faults: Sequence[Fault], only: str) -> list[Fault]:
    """Return the faults whose name holds ``only``."""
    return [fault for fault in faults if only in fault.name]
