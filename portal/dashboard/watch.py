"""The page about Bonghwa itself: parts and heartbeats, self-tests, the dead-man ping, table sizes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import redis
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import AbstractBaseUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _

from incidents import audit
from portal import deadman
from portal.dashboard.access import operator_action, viewer_required
from portal.dashboard.data import Level
from portal.dashboard.gateway import connect
from portal.health import Part, check
from portal.heartbeat import ages
from portal.monitoring import retention, selftest, store, tables
from portal.monitoring.models import SelfTest, SelfTestState

Context = dict[str, Any]

TABLES_SHOWN = 100
TEST_LEVELS = {
    SelfTestState.PASSED: Level.OK,
    SelfTestState.RUNNING: Level.UNKNOWN,
    SelfTestState.LATE: Level.WARNING,
    SelfTestState.FAILED: Level.CRITICAL,
}


def context() -> Context:
    """Return the page's data: two queries, and Redis; what does not answer is shown as such."""
    now = timezone.now()
    parts = check()
    tests = list(SelfTest.objects.select_related("requested_by")[: retention.SELF_TESTS_KEPT])
    measured, beats, costs = _from_redis()
    return {
        "title": _("Bonghwa itself"),
        "parts": [(_part_word(name), _level(part), part) for name, part in parts.items()],
        "beats": [(name, now - timedelta(seconds=age)) for name, age in sorted(beats.items())],
        "costs": [(cost, datetime.fromisoformat(cost.at)) for cost in costs],
        "deadline": settings.HEARTBEAT_DEADLINE,
        "tests": [(test, TEST_LEVELS[SelfTestState(test.state)]) for test in tests],
        "self_test_limit": selftest.LIMIT_S,
        "self_test_running": any(test.state == SelfTestState.RUNNING for test in tests),
        "dead_man": (dead_man := _dead_man()),
        # The URL itself is the ops worker's alone in a deployment: what it told is what there is to see.
        "dead_man_set": bool(settings.DEADMAN_URL) or dead_man is not None,
        "tables": measured.tables[:TABLES_SHOWN] if measured else [],
        "tables_at": datetime.fromisoformat(measured.at) if measured else None,
        "database_bytes": measured.size_bytes if measured else None,
        "kept": [
            (str(kept.model._meta.verbose_name_plural), kept.keep // timedelta(hours=1))
            for kept in retention.GROWING
        ],
        "now": datetime.now(UTC),
    }


def _from_redis() -> tuple[tables.Measurement | None, dict[str, float], list[store.Cost]]:
    try:
        with connect() as client:
            return tables.load(), ages(client), store.costs()
    except (redis.RedisError, ValueError, TypeError, KeyError):
        return None, {}, []


def _dead_man() -> Context | None:
    last = deadman.last()
    if last is None:
        return None
    return {
        "ping": last,
        "at": datetime.fromisoformat(last.at),
        "level": Level.OK if last.ok else Level.CRITICAL,
    }


def _level(part: Part) -> Level:
    if part.ok:
        return Level.OK
    return Level.WARNING if part.optional else Level.CRITICAL


def _part_word(name: str) -> str:
    return {
        "database": _("Database"),
        "redis": "Redis",
        "beat": _("Scheduler (beat)"),
        "worker_collect": _("Worker of collection"),
        "worker_ops": _("Worker of operations"),
        "feed": _("Feed"),
    }.get(name, name)


@viewer_required
def page(request: HttpRequest) -> HttpResponse:
    """Show it."""
    return render(request, "portal/watch.html", {**context(), "live_page": "watch"})


@operator_action
def self_test(request: HttpRequest) -> HttpResponse:
    """Begin a self-test; who asked for it is kept with its result."""
    actor = request.user if isinstance(request.user, AbstractBaseUser) else None
    try:
        selftest.start(now=timezone.now(), by=actor)
        audit.record(action="alarm.self_test", actor=actor, target="channels")
    except selftest.AlreadyRunning as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("The self-test has begun; a message is on its way to every channel."))
    return redirect("watch")
