"""The admin against people who act at the same time, and against ends that are too far."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from django.db import connection
from django.utils import timezone

from incidents.models import ItemState, Report
from tests.incidents.admin_pages import drafted_incident, old_form, path, said, signed_in, submit, version
from tests.incidents.conftest import after
from tests.incidents.forms import form_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("english")]


@pytest.fixture
def incident():
    return drafted_incident()


@pytest.fixture
def person(client):
    return partial(signed_in, client)


def test_a_waiver_that_ends_after_a_year_is_refused_before_anything_is_written(incident, client, person):
    person("operator")
    item = incident.report.checklist.all()[0]
    far = (timezone.localdate() + timedelta(days=366)).isoformat()
    button = "incidents_checklistitem_waive"
    answer = submit(client, "checklistitem", item, button, waiver_reason="교체 예정", waived_until=far)
    item.refresh_from_db()

    assert "at most 365 days" in answer.content.decode()
    assert (item.state, item.waiver_reason, item.waived_until) == (ItemState.OPEN, "", None)


def test_a_report_that_is_signed_off_while_its_form_is_saved_stays_as_it_was_signed(incident, client, person):
    editor = person("editor")
    report = incident.report
    page = client.get(path("report", report.pk))
    data, _buttons = form_of(page.content.decode(), "report_form")
    signed = []

    def sign_behind_the_first_look(execute, sql, params, many, context):
        answer = execute(sql, params, many, context)
        if not signed and 'FROM "incidents_report"' in sql:
            signed.append(sql)
            Report.objects.update(signed_at=after(30), signed_by=editor)
        return answer

    with connection.execute_wrapper(sign_behind_the_first_look):
        answer = client.post(path("report", report.pk), {**data, "title": ["changed"], "_save": ["1"]})
    assert signed
    assert answer.status_code == 302
    shown = client.get(answer["Location"])
    assert "Reopen it with a reason" in said(shown)[0]
    before = report.title, report.revision
    report.refresh_from_db()
    assert (report.title, report.revision) == before


def test_an_old_version_that_is_brought_back_is_a_version_of_the_report(incident, client, person):
    person("editor")
    report = incident.report
    submit(client, "report", report, title="새 제목")
    report.refresh_from_db()
    address = version(report, -2)
    assert client.post(address, old_form(client, address)).status_code == 302
    before = report.revision
    report.refresh_from_db()
    assert report.title != "새 제목"
    assert report.revision == before + 1
