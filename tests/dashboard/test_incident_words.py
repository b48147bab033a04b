"""What an incident's page leads on to, and how it words what is missing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from django.utils.safestring import mark_safe
from django.utils.translation import override

from incidents import audit
from incidents.models import State, TimelineEvent, TimelineKind
from incidents.reports.differences import Change, Kind
from incidents.reports.model import Status
from portal.dashboard import ledger, options, whatchanged
from portal.dashboard.report_words import change_view
from portal.dashboard.templatetags.portal_tags import nested
from portal.dashboard.timeline import entry
from tests.dashboard.world import incident

pytestmark = pytest.mark.django_db


def test_the_first_move_leads_on_and_never_back() -> None:
    found = incident(timezone.now())
    found.state = State.RESOLVED

    assert [move.verb for move in options.moves(found, 0) if move.next] == ["review"]


def test_a_step_that_is_to_come_is_told_from_one_that_was_skipped() -> None:
    now = timezone.now()
    found = incident(now)
    assert [(line.ahead, line.skipped) for line in ledger.of_incident(found, now).lines] == [
        (False, False),
        (False, False),
        (True, False),
        (True, False),
    ]

    found.mitigated_at = now - timedelta(minutes=1)
    assert [line.skipped for line in ledger.of_incident(found, now).lines] == [False, True, False, False]


def test_evidence_that_was_not_captured_is_told_as_missing() -> None:
    event = TimelineEvent(
        incident=incident(timezone.now()),
        at=timezone.now(),
        kind=TimelineKind.EVIDENCE,
        data={"collector": "probes", "error": "no time left"},
    )

    with override("en"):
        told = entry(event)

    assert told.label == "Evidence missing"
    assert told.text == "Probe matrix: the time or the number of parts was spent"


def test_a_sign_in_is_no_change_and_a_deed_is_told_in_words() -> None:
    now = timezone.now()
    found = incident(now)
    for action in ("auth.sign_in", "log.open", "monitor.change"):
        audit.record(
            action=action, actor=None, target="api-gateway", at=found.opened_at - timedelta(minutes=1)
        )

    with override("en"):
        words = [one.words[0] for one in whatchanged.before(found)]

    assert words == ["monitor changed · Bonghwa"]


def test_a_changed_row_says_which_one_it_is() -> None:
    old, new = (Status(service="web", state="Healthy", cpu=cpu, memory="1 GB") for cpu in ("1%", "2%"))

    assert change_view(Change("status", Kind.CHANGED, old, new))["name"] == "web"
    assert change_view(Change("status", Kind.NEW, None, new))["name"] == ""


def test_only_safe_html_is_nested() -> None:
    assert nested(mark_safe("<h1>a</h1><h5>b</h5><hr>")) == "<h3>a</h3><h6>b</h6><hr>"
    with pytest.raises(TypeError):
        nested("<h1>")  # type: ignore[arg-type]
