"""The timeline: nobody rewrites it; a star takes an event into the report."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from incidents import services
from incidents.models import ImmutableEvent, TimelineEvent
from incidents.reports import render
from incidents.reports.drafting import draft_report
from tests.incidents.conftest import NOW, after, fire

pytestmark = pytest.mark.django_db


def note(incident, text="프록시는 정상"):
    return services.add_note(incident=incident, text=text, at=NOW, actor=None)


def test_an_event_is_never_changed_or_deleted_whichever_way_is_tried():
    event = note(fire().incident)
    event.text = "rewritten"
    rows = TimelineEvent.objects.filter(pk=event.pk)
    for attempt in (
        event.save,
        lambda: event.save(update_fields=["text", "starred"]),
        event.delete,
        lambda: rows.update(text="rewritten"),
        lambda: rows.update(starred=True, at=after(9)),
        lambda: TimelineEvent.objects.bulk_update([event], ["text"]),
        rows.delete,
    ):
        with pytest.raises(ImmutableEvent):
            attempt()
    assert TimelineEvent.objects.get(pk=event.pk).text == "프록시는 정상"


def test_an_incident_takes_its_timeline_along_and_a_person_leaves_it():
    incident, alice = fire().incident, User.objects.create_user("alice")
    event = services.add_note(incident=incident, text="x", at=NOW, actor=alice)
    alice.delete()
    assert TimelineEvent.objects.get(pk=event.pk).actor is None
    incident.delete()
    assert not TimelineEvent.objects.exists()


def test_a_starred_note_is_printed_in_the_detailed_report_and_an_unstarred_one_is_not():
    incident = fire().incident
    event = note(incident)
    draft_report(incident=incident, now=after(20))
    assert "프록시는 정상" not in render(incident, "detail", "md", "ko")

    assert services.star(event=event, starred=True)
    assert not services.star(event=event, starred=True)
    assert "프록시는 정상" in render(incident, "detail", "md", "ko")
