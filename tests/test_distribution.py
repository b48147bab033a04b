"""What belongs together runs in one worker; what may take long comes first, what commits comes last."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests import distribution
from tests.distribution import AFTER, LAST, ROOT, group_of, group_of_module

PRODUCT = "def test_it(\n    chromium: Chromium,\n    product: Product,\n) -> None: ..."
COMMITS = "pytestmark = [\n    pytest.mark.django_db(transaction=True),\n]"
DOCKER = "@pytest.mark.docker\ndef test_it(docker_host: str) -> None: ..."


class Item:
    """What is asked of a collected test."""

    def __init__(self, nodeid: str, *marks: pytest.MarkDecorator) -> None:
        self.nodeid, self._marks = nodeid, {mark.name: mark for mark in marks}

    def get_closest_marker(self, name: str) -> pytest.MarkDecorator | None:
        return self._marks.get(name)


def test_a_module_stays_together_and_by_itself() -> None:
    assert {group_of("a.py::test_1"), group_of("a.py::test_2[x::y]"), group_of("b.py::test_1")} == {
        "a.py",
        "b.py",
    }


@pytest.mark.parametrize(
    ("source", "shared_engine", "group"),
    [
        (PRODUCT, False, "product"),
        (PRODUCT, True, "product"),
        (PRODUCT.replace("test_it", "_play"), True, "a.py"),
        (DOCKER, False, "a.py"),
        (DOCKER, True, LAST),
        ("@pytest.mark.django_db(transaction=True)", False, LAST),
        (COMMITS, False, f"{AFTER}a.py"),
        (COMMITS + DOCKER, True, LAST),
        ("", True, "a.py"),
    ],
    ids=[
        "product",
        "product, one Engine",
        "its own product",
        "own Engine",
        "one Engine",
        "commits sometimes",
        "commits always",
        "commits always, one Engine",
        "nothing shared",
    ],
)
def test_what_several_modules_share_is_used_by_one_worker(
    source: str, shared_engine: bool, group: str
) -> None:
    assert group_of_module(source, "a.py", shared_engine) == group


def test_the_running_product_is_shared_by_the_modules_that_use_it() -> None:
    names = [path.relative_to(ROOT).as_posix() for path in (ROOT / "tests" / "e2e").glob("test_*.py")]

    together = {Path(name).stem for name in names if group_of(name) == "product"}

    assert {"test_up", "test_pages", "test_proxy"} <= together
    assert "test_demo" not in together, "each of its tests starts a product of its own"


def test_the_group_that_may_take_longest_comes_first_and_keeps_its_order() -> None:
    items: Sequence[Item] = [
        Item("quick.py::test_1"),
        Item("slow.py::test_1", pytest.mark.slow),
        Item("slow.py::test_2"),
        Item("long.py::test_1", pytest.mark.slow, pytest.mark.timeout(300)),
    ]
    distribution.arrange(items)  # type: ignore[arg-type] # what is asked of an item

    assert [item.nodeid for item in items] == [
        *("long.py::test_1", "slow.py::test_1", "slow.py::test_2", "quick.py::test_1")
    ]


def test_modules_that_commit_come_last_and_those_that_always_do_after_the_others() -> None:
    names = [
        "tests/gateway/test_consumer.py",
        "tests/dashboard/test_live.py",
        "tests/dashboard/test_sessions.py",
        "tests/gateway/test_api.py",
    ]
    items = [Item(f"{name}::test_1", pytest.mark.slow) for name in names]
    distribution.arrange(items)  # type: ignore[arg-type] # what is asked of an item

    assert [item.nodeid.partition("::")[0] for item in items] == [names[3], names[1], names[2], names[0]]
    assert [group_of(name) for name in names] == [AFTER + names[0], LAST, LAST, names[3]]
