"""Measures: a tick is a claim, only what runs verifies, and what breaks again is reopened."""

from __future__ import annotations

import io
import json
from datetime import date, timedelta

import pytest
from django.core.management import call_command

from incidents import checklist, registry, tasks
from incidents.errors import IllegalMove, IncidentChanged
from incidents.models import ChecklistItem, ItemState, Outcome, Priority, Report, TimelineKind
from incidents.registry import Verdict, Verifier
from tests.incidents.conftest import NOW, after, fire

pytestmark = pytest.mark.django_db

TODAY = date(2026, 11, 23)


class Probe:
    """A verifier that answers what it is told to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[Outcome | Exception] = []
        self.asked: list[tuple[str, dict[str, object]]] = []

    def check(self, target, parameters):
        self.asked.append((target, dict(parameters)))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Verdict(answer, f"saw {answer}", "a look")


@pytest.fixture
def probe(monkeypatch):
    """A registered verifier named ``test.limits``."""
    probe = Probe()
    verifier = Verifier("test.limits", "Limits", probe.check, defaults={"cpus": 1.0, "memory": "2g"})
    monkeypatch.setitem(registry._verifiers, verifier.name, verifier)
    return probe


@pytest.fixture
def report():
    return Report.objects.create(incident=fire().incident, title="x", analysed_at=NOW)


@pytest.fixture
def item(report):
    return ChecklistItem.objects.create(
        report=report, text="제한", verifier="test.limits", target="api-gateway", parameters={"cpus": 2}
    )


@pytest.fixture
def alice(django_user_model):
    return django_user_model.objects.create_user("alice")


def run(probe, *answers, start=0):
    """Run all verifiers once for each answer, a minute apart; returns the items' states after each."""
    probe.answers = list(answers)
    states = []
    for number in range(start, start + len(answers)):
        checklist.verify_all(now=after(60 * number))
        states.append(ChecklistItem.objects.get(verifier="test.limits").state)
    return states


def changes(item):
    """Return the changes of the item that its incident's timeline tells."""
    events = item.report.incident.timeline.filter(kind=TimelineKind.CHECKLIST, data__item=item.pk)
    return [(row.data["old"], row.data["new"], row.actor) for row in events]


PASS, FAIL, UNKNOWN = Outcome.PASS, Outcome.FAIL, Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("state", "failures", "outcome", "expected"),
    [
        ("open", 0, PASS, ("verified", 0)),
        ("claimed", 0, PASS, ("verified", 0)),
        ("failing", 5, PASS, ("verified", 0)),
        ("verified", 0, FAIL, ("verified", 1)),
        ("verified", 1, FAIL, ("failing", 2)),
        ("claimed", 1, FAIL, ("failing", 2)),
        ("failing", 2, FAIL, ("failing", 3)),
        ("verified", 1, UNKNOWN, ("verified", 1)),
        ("failing", 2, UNKNOWN, ("failing", 2)),
        ("waived", 0, FAIL, ("waived", 0)),
    ],
)
def test_a_run_moves_a_measure_as_the_table_says(state, failures, outcome, expected):
    assert checklist.next_state(state, failures, outcome) == expected


@pytest.mark.parametrize(("priority", "days"), [("P0", 3), ("P1", 15), ("P2", 30), ("P3", 90)])
def test_the_due_date_follows_from_the_priority(priority, days):
    assert checklist.due_for(priority, TODAY) == TODAY + timedelta(days=days)


def test_a_measure_has_owner_due_date_priority_and_state_and_keeps_its_history(item, alice):
    item.owner, item.due, item.priority = alice, TODAY, Priority.P0
    item.save()
    item.text = "CPU 제한"
    item.save()

    newest, _middle, oldest = item.history.all()
    assert (oldest.owner, oldest.due, oldest.priority, oldest.state) == (None, None, "P1", "open")
    assert (newest.owner, newest.due, newest.priority, newest.text) == (alice, TODAY, "P0", "CPU 제한")


def test_a_passing_run_verifies_and_two_failing_runs_reopen_it_with_what_was_seen(item, probe):
    states = run(probe, PASS, FAIL, UNKNOWN, FAIL, FAIL, PASS)

    assert states == ["verified", "verified", "verified", "failing", "failing", "verified"]
    assert changes(item) == [
        ("open", "verified", None),
        ("verified", "failing", None),
        ("failing", "verified", None),
    ]
    reopened = item.report.incident.timeline.filter(kind=TimelineKind.CHECKLIST)[1]
    assert (reopened.data["text"], reopened.data["observed"]) == ("제한", "saw fail")
    assert [row.outcome for row in item.runs.all()] == [PASS, FAIL, FAIL, UNKNOWN, FAIL, PASS]
    assert [row.state for row in item.history.all()] == ["verified", "failing", "verified", "open"]
    item.refresh_from_db()
    assert (item.observed, item.checked_at, item.failures) == ("saw pass", after(300), 0)


def test_the_verifier_gets_the_target_and_the_item_s_parameters_over_its_defaults(item, probe):
    run(probe, PASS)
    assert probe.asked == [("api-gateway", {"cpus": 2, "memory": "2g"})]


@pytest.mark.parametrize("name", ["test.limits", "gone.away"])
def test_a_verifier_that_breaks_or_is_missing_is_unknown_and_changes_nothing(item, probe, name):
    ChecklistItem.objects.update(state=ItemState.VERIFIED, verifier=name)
    probe.answers = [RuntimeError("no route to the engine")]
    (done,) = checklist.verify_all(now=NOW)

    assert done.outcome == UNKNOWN
    item.refresh_from_db()
    assert (item.state, item.failures) == (ItemState.VERIFIED, 0)
    assert item.observed.endswith(("RuntimeError: no route to the engine", ": gone.away"))


def test_one_broken_verifier_does_not_stop_the_next(item, probe, report):
    ChecklistItem.objects.create(report=report, order=1, text="둘째", verifier="test.limits")
    probe.answers = [RuntimeError("broken"), PASS]

    assert [run.outcome for run in checklist.verify_all(now=NOW)] == [UNKNOWN, PASS]


def test_a_tick_is_a_claim_of_the_person_who_made_it(item, probe, alice):
    checklist.claim(item=item, at=NOW, actor=alice)
    assert item.state == ItemState.CLAIMED
    checklist.reopen(item=item, at=after(1), actor=alice)
    assert changes(item) == [("open", "claimed", alice), ("claimed", "open", alice)]

    run(probe, PASS)
    item.refresh_from_db()
    with pytest.raises(IllegalMove):
        checklist.claim(item=item, at=after(2), actor=alice)
    with pytest.raises(IllegalMove):
        checklist.reopen(item=item, at=after(2), actor=alice)


def test_a_claim_from_an_old_page_neither_wins_nor_undoes_what_a_worker_saw(item, probe, alice):
    old = ChecklistItem.objects.get(pk=item.pk)
    run(probe, FAIL)
    checklist.claim(item=old, at=after(1), actor=alice)
    item.refresh_from_db()
    assert (item.state, item.observed, item.failures) == (ItemState.CLAIMED, "saw fail", 1)

    with pytest.raises(IncidentChanged):
        checklist.claim(item=ChecklistItem(pk=item.pk, state=ItemState.OPEN), at=after(2), actor=alice)


def test_a_waived_measure_is_not_run_until_its_day_is_over(item, probe, alice):
    until = TODAY + timedelta(days=2)
    checklist.waive(item=item, at=NOW, actor=alice, reason="교체 예정", until=until)
    assert checklist.verify_all(now=after(2 * 86_400)) == []

    probe.answers = [FAIL]
    assert len(checklist.verify_all(now=after(3 * 86_400))) == 1
    item.refresh_from_db()
    assert (item.state, item.waived_by, item.waiver_reason) == (ItemState.OPEN, alice, "교체 예정")
    assert changes(item) == [("open", "waived", alice), ("waived", "open", None)]


def test_a_waiver_ends_within_a_year(item):
    last = TODAY + timedelta(days=checklist.WAIVER_MAX_DAYS)
    with pytest.raises(IllegalMove, match=last.isoformat()):
        checklist.waive(item=item, at=NOW, actor=None, reason="x", until=last + timedelta(days=1))
    item.refresh_from_db()
    assert (item.state, item.waived_until) == (ItemState.OPEN, None)
    checklist.waive(item=item, at=NOW, actor=None, reason="x", until=last)
    assert item.state == ItemState.WAIVED


@pytest.mark.parametrize(("reason", "days"), [("", 5), ("  ", 5), ("교체 예정", 0), ("교체 예정", -1)])
def test_a_waiver_needs_a_reason_and_a_day_in_the_future(item, reason, days):
    with pytest.raises(IllegalMove):
        checklist.waive(item=item, at=NOW, actor=None, reason=reason, until=TODAY + timedelta(days=days))
    item.refresh_from_db()
    assert item.state == ItemState.OPEN


def test_the_runs_kept_are_bounded_and_hold_the_first_pass_and_the_last_failure(item, probe):
    run(probe, PASS, FAIL, *[PASS] * 40)

    kept = [row.at for row in item.runs.all()]
    assert len(kept) == checklist.RUNS_KEPT + 2
    assert kept[-2:] == [after(60), after(0)]


def test_the_beat_s_task_verifies_every_item_and_a_request_only_its_own(item, probe, report, redis_client):
    other = ChecklistItem.objects.create(report=report, text="둘째", verifier="test.limits")
    ChecklistItem.objects.create(report=report, text="사람만")
    probe.answers = [PASS, PASS, FAIL]
    tasks.verify_checklist()
    tasks.verify_items([other.pk])

    assert [row.runs.count() for row in (item, other)] == [1, 2]


def test_the_command_verifies_now_and_prints_what_was_seen(item, probe):
    probe.answers = [PASS, FAIL]
    as_json, as_text = io.StringIO(), io.StringIO()
    call_command("verify_checklist", "--json", stdout=as_json)
    call_command("verify_checklist", stdout=as_text)

    (row,) = json.loads(as_json.getvalue())
    assert row.pop("at")
    assert row == {
        "incident": 1,
        "item": "제한",
        "verifier": "test.limits",
        "target": "api-gateway",
        "outcome": "pass",
        "state": "verified",
        "observed": "saw pass",
        "method": "a look",
    }
    line = as_text.getvalue()
    assert line.startswith("INC-1  fail     verified  제한  [test.limits api-gateway]  saw fail")


def test_what_runs_today_is_unknown_to_the_built_in_verifiers_and_reopens_nothing(report):
    for name in ("docker.limits", "docker.log_options"):
        ChecklistItem.objects.create(
            report=report, text=name, verifier=name, target="nobody", state=ItemState.VERIFIED
        )
    runs = checklist.verify_all(now=NOW)

    assert [(row.outcome, bool(row.observed)) for row in runs] == [(UNKNOWN, True)] * 2
    assert set(report.checklist.values_list("state", flat=True)) == {ItemState.VERIFIED}


@pytest.mark.parametrize(
    ("text", "verifier"),
    [
        ("Docker 리소스 제한 설정", "docker.limits"),
        ("Set Docker resource limits", "docker.limits"),
        ("로그 관리 정책 (max-size: 10m, max-file: 3)", "docker.log_options"),
        ("WebSocket 재시도 로직에 지수 백오프 추가", "gateway.backoff"),
        ("Add exponential backoff to the WebSocket retries", "gateway.backoff"),
        ("최대 재시도 횟수 제한 설정", "gateway.attempt_limit"),
        ("Limit the number of retries", "gateway.attempt_limit"),
        ("로그 레벨 조정 (INFO → WARNING for retries)", "logs.retry_level"),
        ("Adjust the log level (INFO → WARNING for retries)", "logs.retry_level"),
        ("Nginx Connection 헤더 수정", "proxy.upgrade"),
        ("Correct nginx's Connection header", "proxy.upgrade"),
        ("CPU/메모리 모니터링 알림 설정", "alert.armed"),
        ("Set up CPU and memory alerts", "alert.armed"),
        ("Healthcheck 설정 확인", "docker.health_check"),
        ("회의하기", None),
    ],
)
def test_an_imported_line_finds_its_verifier_by_its_words(text, verifier):
    found = checklist.verifier_for(text)
    assert (found.name if found else None) == verifier
