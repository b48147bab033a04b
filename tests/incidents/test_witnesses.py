"""Evidence beside a verifier: what fails decides, unknown stays unknown unless something new passed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from incidents import registry, witnesses
from incidents.checklist import verify_items
from incidents.models import ChecklistItem, Outcome
from incidents.registry import Statement, Verdict

KNOWN = datetime(2026, 2, 6, 9, 15, tzinfo=UTC)
PASS, FAIL, UNKNOWN = Outcome.PASS, Outcome.FAIL, Outcome.UNKNOWN


def said(outcome: Outcome, minutes: float) -> Statement:
    """A drill that ended so many minutes after the item's last known result."""
    return Statement(verdict=Verdict(outcome, "the drill", "drill"), at=KNOWN + timedelta(minutes=minutes))


@pytest.mark.parametrize(
    ("own", "other", "expected", "observed"),
    [
        (PASS, None, PASS, "its own"),
        (PASS, said(PASS, -1), PASS, "its own; the drill"),
        (PASS, said(FAIL, -1), FAIL, "the drill"),
        (FAIL, said(PASS, 1), FAIL, "its own"),
        (FAIL, said(FAIL, 1), FAIL, "its own; the drill"),
        (UNKNOWN, None, UNKNOWN, "its own"),
        (UNKNOWN, said(PASS, -1), UNKNOWN, "its own"),
        (UNKNOWN, said(PASS, 1), PASS, "the drill; its own"),
        (UNKNOWN, said(FAIL, -1), FAIL, "the drill"),
    ],
)
def test_what_fails_decides_and_an_old_pass_is_no_news(
    own: Outcome, other: Statement | None, expected: Outcome, observed: str
) -> None:
    verdict = witnesses.joined(Verdict(own, "its own", "look"), [other] if other else [], KNOWN)
    assert (verdict.outcome, verdict.observed) == (expected, observed)


def test_of_an_item_of_which_nothing_was_known_any_pass_is_news() -> None:
    assert witnesses.joined(Verdict(UNKNOWN, "", ""), [said(PASS, -99)], None).outcome == PASS


@pytest.mark.django_db
def test_a_witness_that_breaks_leaves_the_verifier_to_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_item: ChecklistItem) -> Statement | None:
        raise KeyError("figures")

    monkeypatch.setitem(registry._witnesses, "broken", broken)
    item = ChecklistItem.objects.create(text="a", verifier="docker.limits", target="nobody")
    (run,) = verify_items(items=[item], now=KNOWN)
    assert run.outcome == UNKNOWN
    assert "nobody" in run.observed
