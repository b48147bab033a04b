"""How tests are shared among several workers (``pytest -n``); a run without them is left as it is.

A module's tests stay in one worker, one after the other, since they share servers. Tests of the one running
product do so across modules, and so do all tests on a Docker Engine that every worker would use: they have
fixed names in it. A test that commits ends with an empty database, in which the next one of its worker would
miss the rows of the migrations. Modules that commit in some tests are one group, which is begun when no other
is left; modules that commit in every test are begun after it, each by itself, on any worker.
The process that shares the tests out knows only their names, hence the look at the source.
"""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path

import pytest

from tests.engine import machines_engine

ROOT = Path(__file__).resolve().parent.parent
#: Set by pytest-xdist in its workers.
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
#: Marks and fixtures of pytest-django whose tests commit.
COMMITS = re.compile(r"transaction=True|\btransactional_db\b|\blive_server\b")
#: A whole module of them.
COMMITS_ALWAYS = re.compile(r"^pytestmark = \[?\s*pytest\.mark\.django_db\(transaction=True\)", re.MULTILINE)
#: The group that is begun when no other is left, and how the groups are named that are begun after it.
LAST, AFTER = "what commits", "what commits: "
USES_PRODUCT = re.compile(r"def test_\w+\([^)]*\bproduct: Product\b")


@cache
def shared_engine() -> bool:
    """Whether workers share a Docker Engine, since the machine has one; else each starts its own."""
    return machines_engine() is not None


def group_of_module(source: str, name: str, shared_engine: bool) -> str:
    """Return the name of what a module's tests share; modules of one name run in one worker."""
    if USES_PRODUCT.search(source):
        return "product"
    if shared_engine and "mark.docker" in source:
        return LAST
    if COMMITS_ALWAYS.search(source):
        return AFTER + name
    return LAST if COMMITS.search(source) else name


@cache
def _group(name: str) -> str:
    path = ROOT / name
    return group_of_module(path.read_text() if path.is_file() else "", name, shared_engine())


def group_of(nodeid: str) -> str:
    """Return the name of what the test shares."""
    return _group(nodeid.partition("::")[0])


def arrange(items: list[pytest.Item]) -> None:
    """Put groups first whose slow tests may take the longest: a long one begun last keeps all waiting.

    Those that commit come last, in the order of pytest-django: what commits after what rolls back.
    """
    allowed: dict[str, float] = {}
    for item in items:
        group = group_of(item.nodeid)
        allowed[group] = allowed.get(group, 0.0) + _allowed(item)

    def rank(item: pytest.Item) -> tuple[int, float]:
        group = group_of(item.nodeid)
        turn = 1 if group == LAST else 2 if group.startswith(AFTER) else 0
        return turn, -allowed[group]

    items.sort(key=rank)


def _allowed(item: pytest.Item) -> float:
    """Seconds that a slow test may take; what a quick one may take says nothing."""
    if item.get_closest_marker("slow") is None:
        return 0.0
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker else 240.0


def scheduler(config: pytest.Config, log: object) -> object:
    """Return what gives whole groups to workers, in the order of the collected tests.

    pytest-xdist's own ``--dist loadgroup`` finds no group with pytest 9.2, whose node ids it cannot change.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Grouped(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    config.option.loadscopereorder = False
    return Grouped(config, log)
