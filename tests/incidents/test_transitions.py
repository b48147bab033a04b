"""The lifecycle as a table."""

from __future__ import annotations

import pytest

from incidents.models import OPEN_STATES, Severity, State
from incidents.transitions import CALLS, SEVERITIES, is_legal, worse


def test_it_knows_every_state_and_severity_of_the_models():
    assert set().union(*CALLS.values()) == set(State.values) - {State.CLOSED}
    assert set(SEVERITIES) == set(Severity.values)


@pytest.mark.parametrize("state", OPEN_STATES)
def test_every_open_state_can_be_resolved(state):
    assert is_legal("resolve", state)


@pytest.mark.parametrize(
    ("call", "state"),
    [
        ("reopen", "closed"),
        ("resolve", "closed"),
        ("resolve", "reviewed"),
        ("review", "detected"),
        ("acknowledge", "mitigated"),
        ("acknowledge", "acknowledged"),
        ("unmitigate", "acknowledged"),
        ("unmitigate", "resolved"),
        ("reopen", "reviewed"),
    ],
)
def test_it_refuses_a_move_that_skips_or_undoes_a_step(call, state):
    assert not is_legal(call, state)


def test_the_worse_severity_wins_in_either_order():
    assert worse("info", "critical") == worse("critical", "info") == "critical"
    assert worse("info", "warning") == "warning"
