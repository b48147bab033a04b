"""Operators' actions on real containers: evidence first, once, in bounds, and all of it told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import redis
from django.contrib.auth.models import User
from django.utils import timezone

from incidents import services as incidents
from incidents.models import AuditEntry, Evidence, Incident, State, TimelineKind
from incidents.services import create_incident
from portal.monitoring.models import Alert, Health, Rule, Service, ServiceState
from portal.operations import acting, settling
from portal.operations.acting import ActionRefused, allowed_verbs, perform
from portal.operations.models import ActionState, Helped, OperatorAction
from portal.operations.permits import LABEL, VERBS
from tests.incidents.conftest import FINGERPRINT, fire
from tests.monitoring.labs import DockerLab
from tests.operations.conftest import known

pytestmark = pytest.mark.django_db
ALLOWED = {LABEL: "restart,stop,start"}
SCRIPT = "echo started; trap 'exit 0' TERM; while :; do sleep 0.1; done"


@pytest.fixture
def olga() -> User:
    return User.objects.create_user("olga")


@pytest.fixture
def api(containers: DockerLab) -> Service:
    """A container whose label allows everything, under the name that the Engine gave it."""
    return service_of(containers, containers.start(SCRIPT, labels=ALLOWED))


def service_of(lab: DockerLab, runtime_id: str) -> Service:
    return known(runtime_id, lab.client.containers.get(runtime_id).name or "")


def started(lab: DockerLab, service: Service) -> datetime:
    text = lab.client.containers.get(service.runtime_id).attrs["State"]["StartedAt"]
    return datetime.fromisoformat(text[:26].rstrip("Z")).replace(tzinfo=UTC)


def press(service: Service, user: User, verb: str = "restart", **changes: object) -> OperatorAction:
    given = {"reason": "does not answer", "at": timezone.now()} | changes
    return acting.request(service=service, verb=verb, actor=user, **given)  # type: ignore[arg-type] # test data


def done(service: Service, user: User, verb: str = "restart", **changes: object) -> OperatorAction:
    """Press and let the worker do it."""
    action = press(service, user, verb, **changes)
    perform(action.pk)
    action.refresh_from_db()
    return action


def audited() -> list[str]:
    return list(AuditEntry.objects.order_by("seq").values_list("action", flat=True))


@pytest.mark.docker
def test_a_restart_restarts_after_the_evidence_and_mitigates_the_incident(
    containers: DockerLab, api: Service, olga: User, redis_client: redis.Redis
) -> None:
    fire(service=api.name)
    incident = Incident.objects.get()
    before = started(containers, api)

    action = done(api, olga, incident=incident)

    assert (action.state, action.incident) == (ActionState.DONE, incident), action.note
    again = started(containers, api)
    assert again > before
    frozen = list(Evidence.objects.filter(incident=incident).order_by("captured_at"))
    assert frozen
    assert all(one.captured_at < again for one in frozen)
    assert "evidence first" in action.evidence_note or "증거" in action.evidence_note
    incident.refresh_from_db()
    assert incident.state == State.MITIGATED
    told = incident.timeline.filter(kind=TimelineKind.ACTION).order_by("pk")
    assert [(one.data["outcome"], one.actor_id) for one in told] == [("requested", olga.pk), ("done", None)]
    assert audited() == ["service.restart", "service.restart.done", "incident.mitigate"]
    entry = AuditEntry.objects.get(action="service.restart")
    assert (entry.actor_name, entry.target, entry.reason) == ("olga", api.name, "does not answer")
    perform(action.pk)
    assert started(containers, api) == again, "a message that comes twice does nothing"


@pytest.mark.docker
def test_stop_start_and_check_do_what_they_say(
    containers: DockerLab, api: Service, olga: User, redis_client: redis.Redis
) -> None:
    stopped = done(api, olga, "stop")
    assert (stopped.state, stopped.check_due_at) == (ActionState.DONE, None), stopped.note
    assert containers.client.containers.get(api.runtime_id).status == "exited"
    assert stopped.evidence_note in stopped.note, "without an incident it says that nothing was frozen"
    assert not Evidence.objects.exists()
    assert done(api, olga, "start").state == ActionState.DONE
    assert containers.client.containers.get(api.runtime_id).status == "running"
    seen = done(api, olga, "check", reason="")
    assert (seen.state, seen.note.partition(" · ")[0]) == (ActionState.DONE, str(_running()))


def _running() -> object:
    from portal.monitoring.models import RunState

    return RunState.RUNNING.label


@pytest.mark.docker
def test_what_the_running_container_does_not_allow_is_refused_whatever_the_row_says(
    containers: DockerLab, olga: User, redis_client: redis.Redis, settings
) -> None:
    closed = service_of(containers, containers.start(SCRIPT))
    closed.labels = ALLOWED
    closed.save()
    before = started(containers, closed)
    action = done(closed, olga)
    assert action.state == ActionState.REFUSED
    assert LABEL in action.note
    own = service_of(containers, containers.start(SCRIPT, labels={**ALLOWED, "bonghwa.own": "true"}))
    assert done(own, olga).state == ActionState.REFUSED
    open_one = service_of(containers, containers.start(SCRIPT, labels=ALLOWED))
    moved = done(closed, olga, at=timezone.now() + timedelta(seconds=1))
    assert moved.state == ActionState.REFUSED
    Service.objects.filter(pk=closed.pk).update(runtime_id=open_one.runtime_id)
    assert done(closed, olga, at=timezone.now() + timedelta(seconds=2)).state == ActionState.REFUSED
    settings.ACTION_TARGETS = [f"docker:{closed.name}"]
    assert done(closed, olga, at=timezone.now() + timedelta(seconds=3)).state == ActionState.DONE
    assert started(containers, service_of_id(closed, containers)) > before


def service_of_id(service: Service, lab: DockerLab) -> Service:
    """The row under the id that its name has at the Engine."""
    service.runtime_id = lab.client.containers.get(service.name).id or ""
    return service


@pytest.fixture
def plain() -> Service:
    """A row without a container: what is decided before the worker."""
    return known("f00d", "api-gateway")


def test_the_second_who_presses_is_told_who_was_first(plain: Service, olga: User) -> None:
    now = timezone.now()
    press(plain, olga, at=now)
    with pytest.raises(ActionRefused, match="olga") as told:
        press(plain, User.objects.create_user("paul"), at=now + timedelta(seconds=3))
    assert "3" in str(told.value)
    assert OperatorAction.objects.filter(state=ActionState.REFUSED, username="paul").count() == 1
    assert audited() == ["service.restart", "service.restart.refused"]


def test_the_fourth_restart_in_thirty_minutes_is_refused_with_the_reason(plain: Service, olga: User) -> None:
    now = timezone.now()
    for minute in (0, 2, 6):
        finished(press(plain, olga, at=now + timedelta(minutes=minute)))
    with pytest.raises(ActionRefused, match="3"):
        press(plain, olga, at=now + timedelta(minutes=20))
    press(plain, olga, "stop", at=now + timedelta(minutes=20))
    finished(OperatorAction.objects.get(verb="stop"))
    press(plain, olga, at=now + timedelta(minutes=30, seconds=1))


def test_a_restart_that_failed_in_the_middle_counts_and_one_that_never_began_does_not(
    plain: Service, olga: User
) -> None:
    now = timezone.now()
    for begun in (now - timedelta(minutes=20), None, None, None):
        action = press(plain, olga, at=now - timedelta(minutes=20))
        acting.finish(action.pk, ActionState.FAILED, "port is taken", acted_at=begun)
        OperatorAction.objects.filter(pk=action.pk).update(requested_at=now - timedelta(minutes=25))
    for minute in (0, 4):
        finished(press(plain, olga, at=now + timedelta(minutes=minute)))
    with pytest.raises(ActionRefused, match="3"):
        press(plain, olga, at=now + timedelta(minutes=4, seconds=59))


@pytest.mark.parametrize("settled", ["merged", "closed"])
def test_an_action_adds_nothing_to_an_incident_that_was_merged_or_closed(
    plain: Service, olga: User, settled: str
) -> None:
    survivor = fire(key="other").incident
    old = create_incident(
        title="old",
        fingerprint="old",
        services=["api-gateway"],
        state=State.RESOLVED if settled == "merged" else State.CLOSED,
        opened_at=timezone.now(),
        resolved_at=timezone.now(),
        merged_into=survivor if settled == "merged" else None,
    )
    action = press(plain, olga, incident=old)
    assert (action.incident, old.timeline.count()) == (survivor, 0)


def test_a_restart_right_after_another_is_refused(plain: Service, olga: User) -> None:
    now = timezone.now()
    finished(press(plain, olga, at=now))
    with pytest.raises(ActionRefused):
        press(plain, olga, at=now + timedelta(seconds=59))
    press(plain, olga, at=now + timedelta(seconds=60))


def finished(action: OperatorAction) -> OperatorAction:
    acting.finish(action.pk, ActionState.DONE, "", check_due_at=action.requested_at)
    action.refresh_from_db()
    return action


@pytest.mark.parametrize(("verb", "reason"), [("restart", "  "), ("exec", "x"), ("", "x")])
def test_an_unknown_verb_or_no_reason_is_refused(plain: Service, olga: User, verb: str, reason: str) -> None:
    with pytest.raises(ActionRefused):
        press(plain, olga, verb, reason=reason)
    assert OperatorAction.objects.get().state == ActionState.REFUSED


def test_without_an_incident_the_newest_open_one_of_the_service_is_taken(plain: Service, olga: User) -> None:
    fire()
    assert press(plain, olga).incident == Incident.objects.get()


def test_what_a_killed_worker_left_is_settled_and_never_repeated(plain: Service, olga: User) -> None:
    now = timezone.now()
    action = press(plain, olga, at=now)
    assert acting.claim(action.pk, ActionState.REQUESTED, ActionState.RUNNING, started_at=now)
    settling.settle(now=now + timedelta(seconds=60))
    action.refresh_from_db()
    assert action.state == ActionState.RUNNING
    settling.settle(now=now + timedelta(seconds=80))
    action.refresh_from_db()
    assert action.state == ActionState.UNKNOWN
    perform(action.pk)
    action.refresh_from_db()
    assert action.state == ActionState.UNKNOWN
    assert audited()[-1] == "service.restart.unknown"


def test_a_wish_that_no_worker_took_is_given_up(plain: Service, olga: User) -> None:
    action = press(plain, olga, at=timezone.now() - timedelta(seconds=61))
    perform(action.pk)
    settling.settle(now=timezone.now())
    action.refresh_from_db()
    assert action.state == ActionState.FAILED


@pytest.mark.parametrize(
    ("reading", "expected"),
    [
        ({"health": Health.HEALTHY}, Helped.YES),
        ({"health": Health.UNHEALTHY, "failing_streak": 12}, Helped.NO),
        ({"state": "exited"}, Helped.NO),
        ({"health": Health.STARTING}, ""),
        ({"state": "unknown"}, ""),
    ],
)
def test_after_two_minutes_it_says_whether_it_helped(
    plain: Service, olga: User, reading: dict[str, object], expected: str
) -> None:
    fire()
    now = timezone.now()
    action = finished(press(plain, olga, at=now))
    due = now + timedelta(seconds=120)
    OperatorAction.objects.update(check_due_at=due)
    ServiceState.objects.update(at=due, **reading)
    settling.settle(now=due - timedelta(seconds=1))
    action.refresh_from_db()
    assert action.helped == ""
    settling.settle(now=due)
    settling.settle(now=due)
    action.refresh_from_db()
    assert action.helped == expected
    outcomes = [event.data["outcome"] for event in Incident.objects.get().timeline.filter(kind="action")]
    words = {Helped.YES: ["helped"], Helped.NO: ["not_helped"], "": []}
    assert outcomes == ["requested", "done", *words[expected]]
    settling.settle(now=due + timedelta(seconds=121))
    action.refresh_from_db()
    assert action.helped == (expected or Helped.NO_DATA)


def acted(service: Service, user: User, at: datetime) -> OperatorAction:
    """A restart that is done and mitigated the incident, to be looked at two minutes later."""
    action = press(service, user, at=at)
    acting.finish(action.pk, ActionState.DONE, "", check_due_at=at + timedelta(seconds=120))
    action.refresh_from_db()
    if (incident := action.incident) is not None and incident.state != State.MITIGATED:
        incidents.mitigate(incident=incident, at=at, reason="restart")
    return action


@pytest.mark.parametrize(
    ("firing", "health", "state"),
    [
        (True, Health.UNHEALTHY, State.DETECTED),
        (True, Health.HEALTHY, State.MITIGATED),
        (False, Health.UNHEALTHY, State.MITIGATED),
    ],
    ids=["fires-on", "helped", "cleared"],
)
def test_a_restart_that_did_not_help_is_no_mitigation_while_the_alert_fires(
    plain: Service, olga: User, firing: bool, health: Health, state: State
) -> None:
    fire()
    now = timezone.now()
    acted(plain, olga, now)
    if not firing:
        incidents.clear(fingerprint=FINGERPRINT, key="health|api-gateway", at=now)
    due = now + timedelta(seconds=120)
    ServiceState.objects.update(at=due, health=health)

    settling.settle(now=due)

    incident = Incident.objects.get()
    assert incident.state == state
    last = incident.timeline.latest("pk")
    if state == State.DETECTED:
        assert (last.kind, last.data["old"], last.data["new"]) == (
            TimelineKind.STATE,
            "mitigated",
            "detected",
        )
        assert "api-gateway" in last.data["reason"]
        assert audited()[-2:] == ["service.restart.not_helped", "incident.unmitigate"]
        assert AuditEntry.objects.latest("seq").actor_name == ""
    else:
        assert last.kind == TimelineKind.ACTION


def test_a_later_restart_or_a_persons_word_is_not_undone_by_an_earlier_look(
    plain: Service, olga: User
) -> None:
    fire()
    now = timezone.now()
    acted(plain, olga, now)
    acted(plain, olga, now + timedelta(seconds=100))
    ServiceState.objects.update(at=now + timedelta(seconds=121), health=Health.UNHEALTHY)
    settling.settle(now=now + timedelta(seconds=121))
    assert Incident.objects.get().state == State.MITIGATED
    incidents.unmitigate(incident=Incident.objects.get(), at=now, reason="502")
    incidents.mitigate(incident=Incident.objects.get(), at=now + timedelta(seconds=200), actor=olga)
    ServiceState.objects.update(at=now + timedelta(seconds=230))
    settling.settle(now=now + timedelta(seconds=230))
    assert OperatorAction.objects.filter(helped=Helped.NO).count() == 2
    assert Incident.objects.get().state == State.MITIGATED


@pytest.mark.parametrize(("opens_incident", "expected"), [(True, Helped.NO), (False, Helped.YES)])
def test_an_alert_that_only_hints_does_not_say_that_it_did_not_help(
    plain: Service, olga: User, opens_incident: bool, expected: str
) -> None:
    now = timezone.now()
    action = finished(press(plain, olga, at=now))
    OperatorAction.objects.update(check_due_at=now)
    ServiceState.objects.update(at=now + timedelta(seconds=60), health=Health.HEALTHY)
    rule = Rule.objects.filter(kind="template_share").get()
    Rule.objects.update(opens_incident=opens_incident)
    Alert.objects.create(
        service=plain, rule=rule, subject="docker:plain", severity=rule.severity, value=90.0, opened_at=now
    )

    settling.settle(now=now + timedelta(seconds=60))

    action.refresh_from_db()
    assert action.helped == expected


def test_own_processes_need_the_environments_word(settings) -> None:
    assert allowed_verbs("process", "gateway", {LABEL: "restart"}, own=True) == {"check"}
    settings.ACTION_TARGETS = ["process:gateway"]
    assert allowed_verbs("process", "gateway", {}, own=True) == set(VERBS)
