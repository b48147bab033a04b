"""Old versions in the admin: who may bring one back, and what comes back with it."""

from __future__ import annotations

from functools import partial

import pytest
from django.contrib.admin.models import LogEntry

from incidents.models import AuditEntry, ItemState
from tests.incidents.admin_pages import drafted_incident, old_form, rows, signed_in, submit, version

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("english")]


@pytest.fixture
def incident():
    return drafted_incident()


@pytest.fixture
def person(client):
    return partial(signed_in, client)


def test_an_editor_brings_an_old_version_back(incident, client, person):
    editor = person("editor")
    report = incident.report
    before = report.root_cause
    submit(client, "report", report, root_cause="오타")
    address = version(report, -2)
    data = old_form(client, address)
    assert data["root_cause"] == before

    assert client.post(address, data).status_code == 302
    report.refresh_from_db()
    assert (report.root_cause, report.history.first().history_user) == (before, editor)
    assert report.history.count() >= 3
    (newest, *_older) = report.versions.all()
    assert (newest.actor, newest.document["root_cause"]) == (editor, before)
    entry = AuditEntry.objects.filter(action="report.save").latest("seq")
    assert entry.after == {"sections": ["root_cause"], "version": newest.number}


def test_an_old_version_of_a_measure_keeps_its_present_state(incident, client, person):
    person("editor")
    item = incident.report.checklist.all()[0]
    before = item.text
    submit(client, "checklistitem", item, text="다른 말")
    submit(client, "checklistitem", item, "incidents_checklistitem_claim")
    address = version(item)

    assert client.post(address, old_form(client, address)).status_code == 302
    item.refresh_from_db()
    assert (item.text, item.state) == (before, ItemState.CLAIMED)


@pytest.mark.parametrize(
    ("model", "column"), [("report", "root_cause"), ("checklistitem", "text")], ids=["report", "measure"]
)
def test_a_viewer_writes_nothing_through_an_old_version(incident, client, person, model, column):
    row = rows(incident)[model]
    before, address = getattr(row, column), version(row)
    person("viewer")
    data = old_form(client, address) | {column: "viewer was here"}

    assert client.post(address, data).status_code == 403
    row.refresh_from_db()
    assert getattr(row, column) == before
    assert not LogEntry.objects.exists()
