"""A parent that is down with twenty dependents: one incident, whoever fires first."""

from __future__ import annotations

from datetime import timedelta

import pytest

from incidents.models import OPEN_STATES, Incident, Notification, NotificationKind, State
from incidents.services import resolve_green
from portal.monitoring import dependencies
from portal.monitoring.collector import Reading
from portal.monitoring.models import Alert, Rule, Service
from tests.monitoring.stage import Stage, ended, failing, inspected

pytestmark = pytest.mark.django_db

CHILDREN = 20
PARENT = "db"


class Fleet:
    """``db`` and twenty services that depend on it, swept together."""

    def __init__(self, labels: dict[str, str] | None = None) -> None:
        given = {"bonghwa.depends-on": PARENT} if labels is None else labels
        self.parent = Stage(PARENT, {"bonghwa.resolve-after": "20"})
        self.children = [Stage(f"web-{number:02}", given) for number in range(CHILDREN)]

    def sweep(
        self, parent: Reading | None = None, *, streak: int = 0, failing_children: int = CHILDREN
    ) -> None:
        """One sweep: the parent as given, the first children with ``streak`` failures in a row."""
        self.parent.labels = {"bonghwa.resolve-after": "20"}
        readings = [parent or self.parent.reading()]
        for number, child in enumerate(self.children):
            child.at = self.parent.at
            readings.append(child.reading(failing(streak if number < failing_children else 0)))
        self.parent.swept(readings)

    def down(self) -> Reading:
        """The parent, crashed."""
        return self.parent.reading(ended(1, on_purpose=False, at=self.parent.at))


def burning() -> Incident:
    """The only open incident."""
    return Incident.objects.get(state__in=OPEN_STATES)


def marked() -> set[str]:
    """Names of the services whose open alerts are put down to the parent."""
    alerts = Alert.objects.filter(closed_at=None, suppressed_by__name=PARENT)
    return set(alerts.values_list("service__name", flat=True))


def everything() -> set[str]:
    """Names of all children."""
    return {f"web-{number:02}" for number in range(CHILDREN)}


def test_a_parent_that_fires_first_takes_its_dependents_into_its_incident() -> None:
    fleet = Fleet()
    fleet.sweep()
    fleet.sweep(fleet.down())
    fleet.sweep(fleet.down())
    assert burning().services == [PARENT]
    fleet.sweep(fleet.down(), streak=3)

    assert Incident.objects.count() == 1
    assert burning().fingerprint == "service:docker:db"
    assert marked() == everything()
    assert set(burning().services) == {PARENT} | everything()
    assert burning().signals.filter(cleared_at=None).count() == CHILDREN + 1
    assert Notification.objects.filter(kind=NotificationKind.OPENED).count() == 1
    child = burning().signals.filter(detail__suppressed_by=PARENT).first()
    assert child is not None
    assert PARENT in child.title


def test_it_resolves_only_when_all_are_green() -> None:
    fleet = Fleet()
    fleet.sweep()
    for _sweep in range(3):
        fleet.sweep(fleet.down(), streak=3)
    fleet.sweep(streak=4)
    assert not Alert.objects.filter(closed_at=None, service__name=PARENT).exists()
    assert burning().green_since is None, "the children still fail"

    fleet.sweep(streak=4, failing_children=1)
    assert burning().green_since is None
    fleet.sweep()
    green = burning().green_since
    assert green is not None
    assert resolve_green(now=green + timedelta(seconds=19)) == []
    assert [one.number for one in resolve_green(now=green + timedelta(seconds=20))] == [1]
    assert Notification.objects.count() == 2, "one opened, one resolved"


def test_children_that_fire_while_the_parent_only_looks_bad_open_its_incident_at_once() -> None:
    fleet = Fleet()
    fleet.sweep()
    fleet.sweep(fleet.down(), streak=3)
    assert not Alert.objects.filter(rule__name="not-running").exists(), "one sample is not enough for it"
    assert Incident.objects.count() == 1
    assert PARENT in burning().title
    assert burning().services[0] == PARENT

    fleet.sweep(fleet.down(), streak=4)
    assert Alert.objects.get(rule__name="not-running").incident_number == burning().number
    assert Incident.objects.count() == 1


def test_children_that_fired_before_anything_showed_move_to_the_parent_later() -> None:
    fleet = Fleet()
    fleet.sweep()
    fleet.sweep(streak=3)
    assert Incident.objects.count() == CHILDREN, "their first messages waited for nothing"
    at = fleet.parent.at
    fleet.sweep(fleet.down(), streak=4)
    fleet.sweep(fleet.down(), streak=5)

    assert burning().fingerprint == "service:docker:db"
    assert marked() == everything()
    assert Incident.objects.filter(state=State.RESOLVED).count() == CHILDREN
    began = burning().impact_started_at
    assert began is not None
    assert began < at
    opened = Notification.objects.filter(kind=NotificationKind.OPENED)
    assert opened.count() == 1, "messages that had not gone yet are dropped"
    assert not Notification.objects.filter(kind=NotificationKind.RESOLVED).exists()
    fleet.sweep()
    assert not Alert.objects.filter(closed_at=None).exists()
    assert burning().green_since is not None


def test_an_old_incident_of_a_child_stays_its_own() -> None:
    fleet = Fleet()
    fleet.sweep(streak=3, failing_children=1)
    fleet.parent.at += dependencies.ADOPT_WITHIN
    fleet.sweep(fleet.down(), streak=3, failing_children=1)
    fleet.sweep(fleet.down(), streak=3, failing_children=1)
    assert Incident.objects.filter(state__in=OPEN_STATES).count() == 2


def test_a_dependency_set_in_the_admin_counts_as_the_label_does_and_goes_through_others() -> None:
    fleet = Fleet(labels={})
    fleet.sweep()
    first, second = Service.objects.get(name="web-00"), Service.objects.get(name="web-01")
    first.depends_on.add(Service.objects.get(name=PARENT))
    second.depends_on.add(first)
    for _sweep in range(2):
        fleet.sweep(fleet.down(), streak=3, failing_children=2)
    assert marked() == {"web-00", "web-01"}
    assert Incident.objects.count() == 1


def test_services_that_depend_on_each_other_share_one_incident() -> None:
    a, b = Stage("a", {"bonghwa.depends-on": "b"}), Stage("b", {"bonghwa.depends-on": "a"})
    a.swept([a.reading(), b.reading()])
    b.at = a.at
    a.swept([a.reading(failing(3)), b.reading(failing(3))])
    assert Incident.objects.count() == 1
    assert Alert.objects.filter(suppressed_by=None).count() == 1


def test_what_a_parent_cannot_cause_opens_an_incident_of_its_own() -> None:
    fleet = Fleet()
    fleet.sweep()
    for _sweep in range(2):
        fleet.sweep(fleet.down())
    child = fleet.children[0]
    child.at = fleet.parent.at
    full = inspected(memory_limit_bytes=100 * 1024**2)
    for _sweep in range(3):
        child.swept([child.reading(full, memory_bytes=95 * 1024**2), fleet.down()])
    assert Incident.objects.count() == 2


def test_a_warning_on_a_parent_that_serves_hides_nothing() -> None:
    Rule.objects.filter(name="memory-no-limit").update(open_after=1)
    fleet = Fleet()
    big = fleet.parent.reading(memory_bytes=3 * 1024**3)
    fleet.sweep(big)
    fleet.sweep(fleet.parent.reading(memory_bytes=3 * 1024**3), streak=3, failing_children=1)
    assert Incident.objects.filter(state__in=OPEN_STATES).count() == 2
