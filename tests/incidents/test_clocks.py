"""The clocks of an incident, from its times alone."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from incidents.clocks import UNACKNOWLEDGED, UNDETECTED, UNMITIGATED, UNRESOLVED, clocks
from tests.incidents.conftest import NOW, after


def of(**times):
    given_times = {
        "impact_started_at": None,
        "detected_at": NOW,
        "acknowledged_at": None,
        "mitigated_at": None,
        "resolved_at": None,
        "now": after(1000),
    }
    return clocks(**(given_times | times))


def seconds(found):
    return {step.name: step.seconds for step in found.steps}


def test_the_seed_was_undetected_for_three_hours_and_that_was_most_of_it():
    found = of(
        impact_started_at=NOW - timedelta(hours=3, minutes=18),
        acknowledged_at=after(120),
        mitigated_at=after(300),
        resolved_at=after(900),
    )
    assert found.undetected_s == 3 * 3600 + 18 * 60
    assert found.largest == UNDETECTED
    assert seconds(found) == {UNDETECTED: 11880, UNACKNOWLEDGED: 120, UNMITIGATED: 180, UNRESOLVED: 600}
    assert found.response_s == 900
    assert found.impact_s == 11880 + 300, "the pain ended with the mitigation"


def test_what_runs_now_counts_until_now_and_what_follows_is_unknown():
    found = of(acknowledged_at=after(100))
    assert seconds(found) == {UNDETECTED: None, UNACKNOWLEDGED: 100, UNMITIGATED: 900, UNRESOLVED: None}
    assert [step.running for step in found.steps] == [False, False, True, False]
    assert (found.impact_s, found.undetected_s) == (None, None)


def test_a_skipped_step_has_no_time_and_the_next_one_counts_from_the_last_known_moment():
    found = of(resolved_at=after(500))
    assert seconds(found) == {UNDETECTED: None, UNACKNOWLEDGED: None, UNMITIGATED: None, UNRESOLVED: 500}


moments = st.none() | st.integers(0, 5000).map(after)


@given(st.none() | st.integers(-9000, 9000).map(after), moments, moments, moments)
def test_no_step_is_negative_and_the_shares_add_up(impact, acknowledged, mitigated, resolved):
    found = of(
        impact_started_at=impact, acknowledged_at=acknowledged, mitigated_at=mitigated, resolved_at=resolved
    )
    known = [step.seconds for step in found.steps if step.seconds is not None]
    assert all(one >= 0 for one in known)
    shares = [step.share for step in found.steps if step.share is not None]
    assert not shares or abs(sum(shares) - 1) < 1e-9
    assert found.response_s >= 0
