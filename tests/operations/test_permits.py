"""Who allows what on which service, and how often."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.operations.permits import CHECK, SPACING_MAX, VERBS, WINDOW, permitted, too_soon

NOW = datetime(2026, 11, 23, 0, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "labels", "own", "targets", "expected"),
    [
        ("api", {}, False, [], {CHECK}),
        ("api", {"bonghwa.actions": "restart, STOP,exec,kill"}, False, [], {CHECK, "restart", "stop"}),
        ("api", {"bonghwa.actions": "*"}, False, [], {CHECK}),
        ("web", {"bonghwa.actions": "restart"}, True, [], {CHECK}),
        ("web", {}, True, ["docker:web"], set(VERBS)),
        ("web", {}, True, ["process:web"], {CHECK}),
        ("api-1", {}, False, ["docker:api-*"], set(VERBS)),
        ("xapi-1", {}, False, ["docker:api-*"], {CHECK}),
    ],
)
def test_a_label_or_the_environment_allows(name, labels, own, targets, expected):
    assert permitted(runtime="docker", name=name, labels=labels, targets=targets, own=own) == expected


def minutes(*given):
    return [NOW + timedelta(minutes=m) for m in given]


def refused(earlier, now):
    found = too_soon(minutes(*earlier), now=NOW + timedelta(minutes=now), budget=3, spacing_s=60)
    return None if found is None else (found.spent, found.count, (found.until - NOW).total_seconds() / 60)


def test_three_restarts_in_thirty_minutes_with_growing_distance():
    assert refused([], 0) is None
    assert refused([0], 0.5) == (False, 1, 1)
    assert refused([0], 1) is None
    assert refused([0, 1], 2.5) == (False, 2, 3)
    assert refused([0, 1, 3], 10) == (True, 3, 30)
    assert refused([0, 1, 3], 30) is None
    assert refused([0, 1, 3], 31) is None


@given(st.lists(st.floats(0, 3600), max_size=60), st.integers(1, 5), st.floats(0, 600))
def test_whatever_the_presses_never_more_than_the_budget_in_a_window(gaps, budget, spacing):
    now = NOW
    done: list[datetime] = []
    for gap in gaps:
        now += timedelta(seconds=gap)
        refusal = too_soon(done, now=now, budget=budget, spacing_s=spacing)
        if refusal is None:
            done.append(now)
        else:
            assert now < refusal.until <= now + max(WINDOW, timedelta(seconds=SPACING_MAX))
    for at in done:
        assert sum(at <= other < at + WINDOW for other in done) <= budget
