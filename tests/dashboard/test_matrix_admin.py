"""Every address of the admin for every role, with GET and POST: who is answered."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import AnonymousUser, Group, User
from django.contrib.messages.storage.fallback import FallbackStorage
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpResponse
from django.test import RequestFactory
from django.urls import URLPattern
from django.utils import timezone
from simple_history.admin import SimpleHistoryAdmin

from gateway.models import FeedKey
from incidents.models import Channel
from tests.dashboard import world
from tests.dashboard.addresses import admin_addresses, page_of_model
from tests.dashboard.asking import expected, people, verdict
from tests.dashboard.matrix import ADMIN_PAGES, ANYBODY, HISTORY_TELLS, MODELS, NOBODY, ROLES

pytestmark = pytest.mark.django_db


def test_the_admin_answers_as_its_table_says(rf: RequestFactory) -> None:
    wrong = []
    asked = people()
    plain = User.objects.create_user("not-staff")
    plain.groups.add(Group.objects.get(name="admin"))
    for route, pattern in admin_addresses().items():
        for method, level in _levels(route).items():
            for role, user in enumerate(asked[: _last(level) + 1]):
                got, wanted = _ask(rf, method, pattern, user), expected(level, role)
                if got != wanted:
                    wrong.append(f"{method} admin/{route} by {ROLES[role]}: {got}, not {wanted}")
            if level != ANYBODY and _ask(rf, method, pattern, plain) != "sign in":
                wrong.append(f"{method} admin/{route} by somebody who is not staff")
    assert wrong == []


def test_the_history_of_a_row_is_told_to_who_may_see_the_row(rf: RequestFactory, redis_client) -> None:
    world.seed_services(timezone.now())
    world.incident(timezone.now())
    FeedKey.objects.create(name="a site", app_key="a")
    Channel.objects.create(name="a room")
    wrong, seen, asked = [], set(), people()
    for route, pattern in admin_addresses().items():
        label, page = page_of_model(route) or ("", "")
        if page not in ("history", "version"):
            continue
        (model,) = (one for one in admin.site._registry if one._meta.label_lower == label)
        row: Any = model._default_manager.first()
        if row is None:
            continue
        kept = isinstance(admin.site._registry[model], SimpleHistoryAdmin)
        if kept and not row.history.exists():
            row.save()
        seen.add(label)
        version = {"version_id": str(row.history.first().pk)} if page == "version" else {}
        level = MODELS[label][0]
        for role, user in enumerate(asked[: level + 1]):
            got = _ask(rf, "get", pattern, user, {"object_id": str(row.pk), **version})
            if got != expected(level, role):
                wrong.append(f"{page} of {label} by {ROLES[role]}: {got}")
    assert wrong == []
    assert seen >= {"gateway.feedkey", "incidents.channel", "incidents.report", "monitoring.rule"}


def _last(level: int | None) -> int:
    """The last role that has to ask: those after it have its permissions."""
    return len(ROLES) - 1 if level in (None, NOBODY) else level or 0


def _levels(route: str) -> dict[str, int | None]:
    """Return the levels of GET and POST, without what asks for a row before it asks for a right."""
    found = page_of_model(route)
    if found is None:
        return dict(zip(("get", "post"), ADMIN_PAGES[route], strict=True))
    model, page = found
    look, add, change, delete = MODELS[model]
    levels: dict[str, dict[str, int | None]] = {
        "list": {"get": look, "post": look},
        "add": {"get": add, "post": add},
        "change": {"get": look, "post": change},
        "delete": {"get": delete, "post": delete},
        "version": {"post": NOBODY if model in HISTORY_TELLS else change},
    }
    return levels.get(page, {})


def _ask(
    rf: RequestFactory,
    method: str,
    pattern: URLPattern,
    user: User | None,
    row: dict[str, str] | None = None,
) -> str:
    """Call a view, for a row that does not exist unless it is given, without drawing lists and forms."""
    names = re.findall(r"<(?:\w+:)?(\w+)>", str(pattern.pattern))
    if "^([^/]+)/history" in str(pattern.pattern):
        names = ["object_id", "version_id"]
    given = {"app_label": "incidents", "model_name": "checklistitem", "field_name": "owner"}
    request: Any = getattr(rf, method)("/admin/", {} if method == "post" else given)
    request.user, request.session = user or AnonymousUser(), {}
    request._dont_enforce_csrf_checks = True
    request._messages = FallbackStorage(request)
    try:
        with transaction.atomic():
            answer: HttpResponse = pattern.callback(request, **(row or dict.fromkeys(names, "0")))
            transaction.set_rollback(True)
    except PermissionDenied:
        return "forbidden"
    except Http404:
        return "answered"
    return verdict(answer)
