"""Verifiers of the retries: the gateway's policy and attempt log, and what a service logs of its retries."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import redis
from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from gateway.status import Attempt, FeedState, GatewayStatus, read_attempts, read_statuses
from incidents.models import Outcome
from incidents.registry import Parameter, Verdict, Verifier
from portal.monitoring import store
from portal.monitoring.models import LogTemplate, RunState, Service

STATUS, LOG, TEMPLATES = "gateway status", "gateway status, attempts", "log templates"
#: Attempts that are read, and retries sooner than wanted in a row that are no accident: a person's *resume*
#: and the one renewal of a rejected token wait for nothing.
MAX_ATTEMPTS = 50
QUICK_IN_A_ROW = 3
#: A reading of a service's log older than this tells nothing.
FRESH = timedelta(minutes=3)
WINDOW_MIN = 10
#: Templates of a service that are looked at; no more are kept.
MAX_TEMPLATES = 50
#: Outcomes after which the wait is not the policy's: a person or the process ended the attempt.
_NOT_FAILED = frozenset({"stopped", "held"})
_RETRY = re.compile(r"retr(?:y|ies|ying)|reconnect|attempt|backoff|재시도|재연결|재접속|다시 연결", re.I)
_LEVEL = re.compile(r"\b(TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|CRITICAL|FATAL)\b", re.I)
_TOO_LOW = frozenset({"TRACE", "DEBUG", "INFO", "NOTICE"})


def quick_retries(attempts: Sequence[Attempt], least_s: float) -> list[float]:
    """Return the waits of the longest series of retries that came sooner than ``least_s`` seconds.

    ``attempts`` come newest first. A retry is an attempt right after a failed one.
    """
    longest: list[float] = []
    series: list[float] = []
    for older, newer in zip(reversed(attempts), list(reversed(attempts))[1:], strict=False):
        is_retry = newer.number > older.number and older.outcome not in _NOT_FAILED
        if not is_retry:
            continue
        series = [*series, newer.delay_before] if newer.delay_before < least_s else []
        longest = max(longest, series, key=len)
    return longest


def backoff(target: str, parameters: Mapping[str, Any]) -> Verdict:
    """Check that waits start at a sane delay, grow and are bounded, and that the attempts kept them."""
    least, most = float(parameters["first_s"]), float(parameters["most_s"])
    seen = _slots(target)
    if isinstance(seen, Verdict):
        return seen
    shown, bad = [], False
    for status, attempts in seen:
        policy = status.retry or {}
        base, factor, cap = (float(policy.get(name, 0)) for name in ("base", "factor", "cap"))
        shown.append(
            _("%(slot)s: %(base)g s × %(factor)g, at most %(cap)g s")
            % {"slot": status.slot, "base": base, "factor": factor, "cap": cap}
        )
        quick = quick_retries(attempts, least / 2)  # jitter halves a delay at most
        if base < least or factor <= 1 or not base <= cap <= most:
            bad = True
        elif len(quick) >= QUICK_IN_A_ROW:
            bad = True
            shown.append(
                _("%(n)d retries in a row within %(least)g s, the shortest after %(shortest).2f s")
                % {"n": len(quick), "least": least / 2, "shortest": min(quick)}
            )
        elif attempts:
            shown.append(_("%(n)d attempts looked at") % {"n": len(attempts)})
    return Verdict(Outcome.FAIL if bad else Outcome.PASS, "; ".join(shown)[:500], LOG)


def attempt_limit(target: str, parameters: Mapping[str, Any]) -> Verdict:
    """Check that attempts in a row are limited, and that no session goes on beyond its limit."""
    most = int(parameters["attempts"])
    seen = _slots(target)
    if isinstance(seen, Verdict):
        return seen
    shown, bad = [], False
    for status, _attempts in seen:
        limit = int((status.retry or {}).get("attempt_limit", 0))
        word = _("limit %(n)d attempts") % {"n": limit} if limit else _("no limit")
        state = (
            _("parked")
            if status.feed is FeedState.PARKED
            else _("%(n)d in a row now") % {"n": status.attempts}
        )
        shown.append(f"{status.slot}: {word}, {state}")
        over = status.attempts > limit and status.feed is not FeedState.PARKED
        bad = bad or not 1 <= limit <= most or over
    return Verdict(Outcome.FAIL if bad else Outcome.PASS, "; ".join(shown)[:500], STATUS)


def retry_level(target: str, parameters: Mapping[str, Any]) -> Verdict:
    """Check how often the service ``target`` logs of retries, and that it does so as warnings or errors."""
    most = float(parameters["lines_per_min"])
    service = Service.objects.filter(name=target, enabled=True).select_related("state").first()
    if service is None:
        word = (
            _("no service named %(name)s is watched") % {"name": target}
            if target
            else _("no target service is set")
        )
        return _unknown(word, TEMPLATES, gone=bool(target))
    state = getattr(service, "state", None)
    now = timezone.now()
    if state is None or state.state != RunState.RUNNING:
        return _unknown(_("%(name)s does not run") % {"name": target}, TEMPLATES)
    if state.error or state.log_lines_per_s is None or now - state.at > FRESH:
        return _unknown(state.error or _("its log was not read within 3 minutes"), TEMPLATES)
    newest = int(now.timestamp() // 60)
    recent: Iterable[LogTemplate] = service.templates.order_by("-count")[:MAX_TEMPLATES]
    found = [row for row in recent if _RETRY.search(row.template)]
    lines = sum(
        count
        for row in found
        for minute, count in row.minutes.items()
        if newest - WINDOW_MIN < int(minute) <= newest
    )
    rate = lines / WINDOW_MIN
    low = sorted({level for row in found if (level := _level(row.sample)) in _TOO_LOW})
    shown = _("%(rate).1f retry lines a minute over %(minutes)d min (%(lines)d lines)") % {
        "rate": rate,
        "minutes": WINDOW_MIN,
        "lines": lines,
    }
    if low and lines:
        shown += ", " + _("logged as %(levels)s") % {"levels": ", ".join(low)}
    if lines:
        shown += f": {max(found, key=lambda row: row.count).template[:120]}"
    good = rate <= most and not (low and lines)
    return Verdict(Outcome.PASS if good else Outcome.FAIL, shown[:500], TEMPLATES)


def _level(line: str) -> str:
    found = _LEVEL.search(line)
    return found[1].upper() if found else ""


def _slots(target: str) -> list[tuple[GatewayStatus, list[Attempt]]] | Verdict:
    """Return status and attempts of the slot ``target``, or of all when it names none; or why not."""
    every = [key.slot for key in settings.GATEWAY_UPSTREAM.keys]
    slots = [target] if target in every else every
    try:
        statuses = read_statuses(store.client(), slots)
        seen = [(one, read_attempts(store.client(), one.slot, MAX_ATTEMPTS)) for one in statuses]
    except redis.RedisError as error:
        return _unknown(_("Redis does not answer: %(error)s") % {"error": type(error).__name__}, STATUS)
    except (ValueError, TypeError) as error:
        return _unknown(_("the gateway's status cannot be read: %(error)s") % {"error": error}, STATUS)
    if missing := [slot for slot in slots if slot not in {one.slot for one in statuses}]:
        return _unknown(_("no gateway runs for %(slots)s") % {"slots": ", ".join(missing)}, STATUS)
    if not seen:
        return _unknown(_("no key is configured"), STATUS)
    if any(not one.retry for one in statuses):
        return _unknown(_("the gateway does not tell its policy; it is of an older version"), STATUS)
    return seen


def _unknown(reason: str, method: str, *, gone: bool = False) -> Verdict:
    return Verdict(Outcome.UNKNOWN, reason[:500], method, gone=gone)


def slot_names() -> list[str]:
    """Return the gateway's slots, one for each key."""
    return [key.slot for key in settings.GATEWAY_UPSTREAM.keys]


def service_names() -> list[str]:
    """Return the names of the services that are watched."""
    watched = Service.objects.filter(enabled=True).order_by("name").values_list("name", flat=True)
    return list(dict.fromkeys(watched[:500]))


VERIFIERS = (
    Verifier(
        name="gateway.backoff",
        label=gettext_lazy("Gateway waits longer after each failure"),
        help=gettext_lazy(
            "Passes when the gateway's delays start high enough, grow and end low enough, and its "
            "attempts kept them. The target is a slot; any other, or none, means every slot."
        ),
        check=backoff,
        defaults={"first_s": 1.0, "most_s": 300.0},
        matches=(("백오프",), ("backoff",), ("back-off",)),
        parameters=(
            Parameter(
                name="first_s",
                label=gettext_lazy("first delay at least (s)"),
                kind="number",
                least=0.1,
                most=600,
            ),
            Parameter(
                name="most_s",
                label=gettext_lazy("longest delay at most (s)"),
                kind="number",
                least=1,
                most=86_400,
            ),
        ),
        targets=slot_names,
    ),
    Verifier(
        name="gateway.attempt_limit",
        label=gettext_lazy("Gateway gives up after a number of attempts"),
        help=gettext_lazy(
            "Passes when the gateway gives up after at most so many attempts in a row, and did. "
            "The target is a slot; any other, or none, means every slot."
        ),
        check=attempt_limit,
        defaults={"attempts": 100},
        matches=(
            ("재시도", "횟수"),
            ("재시도", "제한"),
            ("최대 재시도",),
            ("retry", "limit"),
            ("retries", "limit"),
            ("attempt", "limit"),
            ("maximum", "retries"),
        ),
        parameters=(
            Parameter(
                name="attempts",
                label=gettext_lazy("attempts in a row at most"),
                kind="integer",
                least=1,
                most=100_000,
            ),
        ),
        targets=slot_names,
    ),
    Verifier(
        name="logs.retry_level",
        label=gettext_lazy("Retries are logged rarely, and as warnings"),
        help=gettext_lazy(
            "Passes when the service logs at most so many retry lines a minute, none below "
            "WARNING. The target is the service."
        ),
        check=retry_level,
        defaults={"lines_per_min": 10.0},
        matches=(("로그 레벨",), ("log level",), ("로깅 레벨",)),
        parameters=(
            Parameter(
                name="lines_per_min",
                label=gettext_lazy("retry lines a minute at most"),
                kind="number",
                least=0,
                most=100_000,
            ),
        ),
        targets=service_names,
    ),
)
