"""Every address of the portal for every role, with GET and POST: who is answered, and what a GET writes."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone

from portal.dashboard import sessions
from portal.monitoring.models import Alert, Endpoint, Rule
from tests.dashboard import world
from tests.dashboard.addresses import (
    LOGOUT,
    admin_addresses,
    page_of_model,
    portal_addresses,
    registered,
)
from tests.dashboard.asking import client_of, expected, people, verdict
from tests.dashboard.matrix import (
    ADMIN_PAGES,
    ANYBODY,
    BY_PROGRAMS,
    EXEMPT,
    MODELS,
    NOBODY,
    PORTAL,
    RECORDED,
    ROLES,
)

pytestmark = pytest.mark.django_db
#: Not this machine, which may ask for more.
ADDRESS = "203.0.113.9"
FORM = {"verb": "check", "reason": "why", "username": "x", "password": "x", "language": "ko"}
MOVE = {"verb": "acknowledge", "reason": "why"}
WRITES = re.compile(r"\s*(INSERT|UPDATE|DELETE|REPLACE|ALTER|CREATE|DROP)\b", re.IGNORECASE)


@pytest.fixture
def concrete(redis_client) -> Callable[[str], str]:
    """Fill an address with the rows of the seed's world."""
    now = timezone.now()
    service = world.seed_services(now)[0]
    incident = world.incident(now)
    first = {
        "services": service.pk,
        "alerts": Alert.objects.all()[0].pk,
        "rules": Rule.objects.all()[0].pk,
        "monitors": Endpoint.objects.all()[0].pk,
        "checklist": incident.report.checklist.all()[0].pk,
        "incidents": incident.evidence.all()[0].pk,
    }
    words = {"number": incident.number, "verb": "check", "kind": "summary", "fmt": "md", "slot": "a1"}
    words |= {"process": "web", "opening": 1, "item": 1, "connection": "c1"}

    def fill(route: str) -> str:
        values = {**words, "pk": first.get(route.partition("/")[0], 1)}
        return "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda match: str(values[match[1]]), route)

    return fill


def ask(client: Any, method: str, path: str) -> tuple[Any, list[str]]:
    """Return an answer and what was written for it; nothing of it stays."""
    body: dict[str, Any] = {"data": FORM} if method == "post" else {}
    if path.startswith("/api/v1/") and method == "post":
        body = {"data": MOVE, "content_type": "application/json"}
    written: list[str] = []

    def look(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if WRITES.match(sql):
            written.append(sql[:80])
        return execute(sql, params, many, context)

    with transaction.atomic(), connection.execute_wrapper(look):
        answer = getattr(client, method)(path, REMOTE_ADDR=ADDRESS, **body)
        transaction.set_rollback(True)
    answer.close()
    return answer, written


def fits(route: str, level: int | None, role: int, got: str) -> bool:
    """Whether ``got`` is what the table says."""
    wanted = "sign in" if route == LOGOUT and level == ANYBODY else expected(level, role)
    if wanted == "sign in" and (level is None or route in BY_PROGRAMS):
        return got in ("sign in", "forbidden", "no such method")
    if wanted == "forbidden" and route.startswith("api/v1/"):
        return got in ("sign in", "forbidden")
    return got == wanted


def test_every_address_has_its_entry() -> None:
    missing = {
        "PORTAL": portal_addresses().keys() ^ PORTAL.keys(),
        "MODELS": registered() ^ MODELS.keys(),
        "ADMIN_PAGES": {one for one in admin_addresses() if not page_of_model(one)} ^ ADMIN_PAGES.keys(),
    }
    assert {table: sorted(routes) for table, routes in missing.items() if routes} == {}, (
        "Say in tests/dashboard/matrix.py who may GET and POST these addresses, or take out those that went."
    )


def test_each_role_may_do_what_the_one_before_it_may() -> None:
    held = [user.get_all_permissions() if user else set() for user in people()]
    assert all(one <= following for one, following in pairwise(held))
    assert [len(one) > 0 for one in held] == [False, False, True, True, True, True]


def test_every_role_gets_the_answer_of_the_table_and_a_get_writes_nothing(concrete, monkeypatch) -> None:
    # A session notes its last request once a minute, which a slow run would meet.
    monkeypatch.setattr(sessions, "PRECISION", 3600.0)
    wrong, writes = [], []
    clients = [(role, client_of(user)) for role, user in enumerate(people())]
    for route, levels in PORTAL.items():
        path = concrete(route)
        for method, level in zip(("get", "post"), levels, strict=True):
            # Roles above the first that is answered have its permissions.
            last = len(ROLES) - 1 if level in (None, NOBODY) else level
            for role, client in clients:
                if role > last or (level is None and role not in (ANYBODY, last)):
                    continue
                answer, written = ask(client, method, path)
                got = verdict(answer)
                if not fits(route, level, role, got) or answer.status_code >= 500:
                    wrong.append(f"{method} /{route} by {ROLES[role]}: {answer.status_code}, {got}")
                if method == "get" and written and route not in RECORDED:
                    writes.append(f"/{route} by {ROLES[role]}: {written[:2]}")
    assert wrong == []
    assert writes == [], "A GET changes nothing; make it a POST."


def test_every_form_needs_its_token(concrete) -> None:
    client = client_of(User.objects.create_superuser("root"), enforce_csrf_checks=True)
    posted = [route for route, (_get, post) in PORTAL.items() if post is not None and route != "api/v1/"]
    passed = [route for route in posted if ask(client, "post", concrete(route))[0].status_code != 403]
    assert sorted(passed) == sorted(EXEMPT)
    views = {route: one.callback for route, one in admin_addresses().items()}
    assert [route for route, view in views.items() if getattr(view, "csrf_exempt", False)] == []
