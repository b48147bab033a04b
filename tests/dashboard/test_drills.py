"""The drills' pages: who may start and abort, what a result shows, and that hostile text stays text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import redis
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from gateway.drills.plan import Measured
from incidents.models import ChecklistItem, Incident, ItemState
from incidents.reports.importing import import_text
from portal.dashboard import contexts
from portal.operations import drills
from portal.operations.models import DrillRun, DrillState
from tests.dashboard import world
from tests.gateway.test_drill_plan import GOOD, tries

pytestmark = pytest.mark.django_db
HOSTILE = "<script>alert(1)</script>\x1b[31m"


@pytest.fixture
def operator(client: Client, redis_client: redis.Redis) -> Client:
    client.force_login(world.person("olga", "operator"))
    return client


def played(measured: Measured = GOOD, incident: Incident | None = None, reason: str = "a test") -> DrillRun:
    now = timezone.now()
    run = drills.start(drill="retry-storm", reason=reason, now=now, by=None, incident=incident)
    assert drills.claim(run.pk, timezone.now()) is not None
    return drills.finish(run, measured, timezone.now())


def test_an_operator_starts_and_aborts_a_drill(operator: Client, redis_client: redis.Redis) -> None:
    found = world.incident(timezone.now())
    order = {"drill": "retry-storm", "incident": str(found.number), "reason": "monthly"}
    answer = operator.post("/drills/start/", order)
    run = DrillRun.objects.get()
    assert answer.headers["Location"] == f"/drills/{run.pk}/"
    assert (run.username, run.reason, run.incident) == ("olga", "monthly", found)
    assert redis_client.llen("ops") == 1, "the worker has one message"

    again = operator.post("/drills/start/", order, follow=True)
    assert again.redirect_chain == [("/drills/", 302)]
    assert DrillRun.objects.count() == 1

    operator.post(f"/drills/{run.pk}/abort/")
    run.refresh_from_db()
    assert (run.state, run.aborted_by) == (DrillState.ABORTED, "olga")


@pytest.mark.parametrize("order", [{}, {"drill": "mute"}, {"drill": "x", "reason": "y"}])
def test_a_wrong_order_is_told_and_changes_nothing(operator: Client, order: dict[str, str]) -> None:
    assert operator.post("/drills/start/", order).headers["Location"] == "/drills/"
    assert not DrillRun.objects.exists()


def test_a_viewer_may_look_and_nothing_else(client: Client, redis_client: redis.Redis) -> None:
    run = drills.start(drill="mute", reason="a test", now=timezone.now(), by=None)
    client.force_login(world.person("vera", "viewer"))
    page = client.get(f"/drills/{run.pk}/")
    assert page.status_code == 200
    assert b'name="verb"' not in page.content
    for path in ("start/", f"{run.pk}/abort/", f"{run.pk}/items/1/"):
        assert client.post(f"/drills/{path}").status_code == 403, path
    run.refresh_from_db()
    assert run.abort_asked_at is None


def test_a_result_stands_beside_the_incident_and_names_what_was_not_met(
    operator: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    found = world.incident(timezone.now())
    run = played(
        replace(GOOD, tries=tries(0.0, 0.0, 30.0), sample=(HOSTILE,)), incident=found, reason=HOSTILE
    )
    with django_assert_max_num_queries(12):
        page = operator.get(f"/drills/{run.pk}/", headers={"Accept-Language": "en"}).content.decode()
    assert "waits of at least 0.4 s that grow" in page
    assert "not met" in page
    assert f"/incidents/{found.number}/" in page
    assert "<script>alert" not in page
    assert "\x1b" not in page
    with django_assert_max_num_queries(12):
        listed = operator.get("/drills/", headers={"Accept-Language": "en"}).content.decode()
    shown = operator.get(f"/incidents/{found.number}/", headers={"Accept-Language": "en"}).content.decode()
    assert f'href="/drills/{run.pk}/"' in shown
    assert f'href="/drills/?incident={found.number}"' in shown
    assert "✗ waits of at least 0.4 s that grow" in listed
    assert "<script>alert" not in listed


def test_a_drill_becomes_the_evidence_of_an_item_by_an_editor(operator: Client) -> None:
    found = world.incident(timezone.now())
    item = ChecklistItem.objects.filter(report__incident=found).first()
    assert item is not None
    ChecklistItem.objects.filter(pk=item.pk).update(state=ItemState.OPEN)
    run, elsewhere = played(incident=found), played()
    assert operator.post(f"/drills/{run.pk}/items/{item.pk}/").status_code == 403
    operator.force_login(world.person("edith", "editor"))
    operator.post(f"/drills/{run.pk}/items/{item.pk}/")
    item.refresh_from_db()
    assert (item.verifier, item.state) == ("gateway.drill", ItemState.VERIFIED)
    assert operator.post(f"/drills/{elsewhere.pk}/items/{item.pk}/").status_code == 404


def test_a_retry_storm_needs_not_be_bound_to_what_it_speaks_about_anyway(
    operator: Client, seed_report: Path
) -> None:
    text = seed_report.read_text(encoding="utf-8")
    found = import_text(text=text, name=seed_report.name, now=timezone.now()).incident
    run = played(incident=found)
    operator.force_login(world.person("edith", "editor"))
    page = operator.get(f"/drills/{run.pk}/", headers={"Accept-Language": "en"}).content.decode()
    assert page.count("bound to this drill") == 3
    assert page.count("Use as evidence for") == 3
    other = drills.start(drill="mute", reason="a test", now=timezone.now(), by=None, incident=found)
    drills.give_up(other, DrillState.ABORTED, timezone.now(), "")
    page = operator.get(f"/drills/{other.pk}/", headers={"Accept-Language": "en"}).content.decode()
    assert "bound to this drill" not in page


def test_what_another_verifier_saw_does_not_count_for_a_drill(operator: Client) -> None:
    found = world.incident(timezone.now())
    item = ChecklistItem.objects.filter(report__incident=found)[0]
    ChecklistItem.objects.filter(pk=item.pk).update(state=ItemState.VERIFIED, verifier="docker.limits")
    run = played(replace(GOOD, cpu_s=1000.0), incident=found)
    assert run.state == DrillState.FAILED
    operator.force_login(world.person("edith", "editor"))
    operator.post(f"/drills/{run.pk}/items/{item.pk}/")
    item.refresh_from_db()
    assert (item.verifier, item.state) == ("gateway.drill", ItemState.OPEN)


def test_both_pages_are_live_and_a_missing_drill_is_404(operator: Client) -> None:
    run = drills.start(drill="mute", reason="a test", now=timezone.now(), by=None)
    drills.beat(run.pk, replace(GOOD, drill="mute", phase="fault"), timezone.now())
    for key in ("drills", f"drill:{run.pk}"):
        panels = contexts.render_panels(key, "en")
        assert panels
        assert all(panels.values())
    assert contexts.render_panels("drill:999", "en") is None
    assert operator.get("/drills/999/").status_code == 404
