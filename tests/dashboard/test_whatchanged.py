"""What changed in the day before an incident, from the configurations that were seen."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from incidents import audit
from incidents.models import Incident
from portal.dashboard import whatchanged
from portal.monitoring import snapshots
from portal.monitoring.models import Service
from tests.dashboard import world

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def english(settings: Any) -> None:
    settings.LANGUAGE_CODE = "en"


@pytest.fixture
def incident(redis_client: Any) -> Incident:
    now = timezone.now()
    world.seed_services(now)
    return world.incident(now)


def start(incident: Incident, hours_before: float, name: str = "api-gateway", **config: Any) -> None:
    assert incident.impact_started_at is not None
    service = Service.objects.get(name=name)
    given = {"image": f"{name}:1.4.1", "image_id": "sha256:aa", "limits": {"memory": 512}}
    snapshots.take(service, given | config, started_at=incident.impact_started_at - hours_before * HOUR)


def words(incident: Incident) -> list[tuple[str, tuple[str, ...]]]:
    return [(one.service, tuple(one.words)) for one in whatchanged.before(incident)]


def test_an_image_and_a_limit_that_changed_are_told_in_words_newest_first(incident: Incident) -> None:
    start(incident, 40)
    start(incident, 5, image="api-gateway:1.4.2", image_id="sha256:bb")
    start(incident, 2, image="api-gateway:1.4.2", image_id="sha256:bb", limits={"memory": None})

    assert words(incident) == [
        ("api-gateway", ("limits.memory removed, it was 512",)),
        ("api-gateway", ("image api-gateway:1.4.1 → api-gateway:1.4.2",)),
    ]
    assert [one.icon for one in whatchanged.before(incident)] == ["tune", "deployed_code"]


def test_a_tag_pushed_anew_a_restart_and_a_way_back_are_told_apart(incident: Incident) -> None:
    start(incident, 40)
    start(incident, 9, image_id="sha256:bb")
    start(incident, 6, image_id="sha256:bb")
    start(incident, 3)

    assert words(incident) == [
        ("api-gateway", ("the image behind the tag is another one",)),
        ("api-gateway", ("started again with the same configuration",)),
        ("api-gateway", ("the image behind the tag is another one",)),
    ]


def test_what_is_older_than_a_day_or_came_after_is_left_out(incident: Incident) -> None:
    start(incident, 60)
    start(incident, 30, limits={"memory": 1})
    start(incident, -10, limits={"memory": 2})
    assert words(incident) == []


def test_other_services_are_told_too_and_marked_as_such(incident: Incident) -> None:
    start(incident, 1, name="frontend")
    start(incident, 2)
    assert [(one.service, one.own) for one in whatchanged.before(incident)] == [
        ("frontend", False),
        ("api-gateway", True),
    ]


def test_many_changes_are_bounded_and_a_label_is_escaped(client: Client, incident: Incident) -> None:
    start(incident, 30)
    start(incident, 1, labels={f"<b>{number}": "x" * 500 for number in range(40)})
    (told,) = whatchanged.before(incident)
    assert len(told.words) == whatchanged.WORDS_MAX + 1
    assert told.words[-1] == "and 34 more differences"

    client.force_login(world.person("vera", "viewer"))
    shown = client.get("/incidents/7/").content.decode()
    assert "labels.&lt;b&gt;0 added" in shown
    assert "<b>0" not in shown


def test_a_deed_on_a_service_is_told_and_one_on_an_incident_is_not(incident: Incident) -> None:
    at = incident.opened_at - timedelta(minutes=5)
    audit.record(action="service.restart", actor=None, target="api-gateway", reason="배포", at=at)
    audit.record(action="incident.acknowledge", actor=None, target="INC-1", at=at)
    (told,) = whatchanged.before(incident)
    assert (told.service, told.own, told.words) == (
        "api-gateway",
        True,
        ["restart · Bonghwa", "배포"],
    )
