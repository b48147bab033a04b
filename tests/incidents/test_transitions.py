"""The lifecycle as a table."""

from __future__ import annotations

import pytest

from incidents.models import OPEN_STATES, Severity, State
from incidents.transitions import MOVES, SEVERITIES, is_legal, worse


def test_it_knows_every_state_and_severity_of_the_models():
    assert set(MOVES) == set(State.values)
    assert set(SEVERITIES) == set(Severity.values)
    assert set().union(*MOVES.values()) <= set(State.values)


@pytest.mark.parametrize("state", OPEN_STATES)
def test_every_open_state_can_be_resolved(state):
    assert is_legal(state, State.RESOLVED)


@pytest.mark.parametrize(
    ("state", "to"),
    [
        ("closed", "detected"),
        ("closed", "resolved"),
        ("detected", "reviewed"),
        ("acknowledged", "detected"),
        ("detected", "detected"),
        ("reviewed", "detected"),
    ],
)
def test_it_refuses_a_move_that_skips_or_undoes_a_step(state, to):
    assert not is_legal(state, to)


def test_the_worse_severity_wins_in_either_order():
    assert worse("info", "critical") == worse("critical", "info") == "critical"
    assert worse("info", "warning") == "warning"
