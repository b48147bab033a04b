"""The live log on a service's page: opened by a POST that is audited, then asked for each two seconds."""

from __future__ import annotations

import redis
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from portal.dashboard.access import OPERATE, operator_action, viewer_required
from portal.monitoring.models import Service
from portal.operations import tail


def _operator(request: HttpRequest) -> User:
    if not isinstance(request.user, User) or not request.user.has_perm(OPERATE):
        raise PermissionDenied
    return request.user


@operator_action
def start(request: HttpRequest, pk: int) -> HttpResponse:
    """Open the log of a service; the answer tells where its lines are and how often to ask for them."""
    service = get_object_or_404(Service, pk=pk)
    try:
        opening = tail.open_tail(service, _operator(request), at=timezone.now())
    except tail.TailRefused as refusal:
        return JsonResponse({"error": str(refusal)}, status=429)
    except redis.RedisError:
        return _no_redis()
    names = {"pk": pk, "opening": opening.pk}
    return JsonResponse(
        {
            "lines": reverse("tail-lines", kwargs=names),
            "close": reverse("tail-close", kwargs=names),
            "period_s": tail.PERIOD_S,
            "max_lines": tail.MAX_LINES,
        }
    )


@viewer_required
@require_GET
@never_cache
def lines(request: HttpRequest, pk: int, opening: int) -> HttpResponse:
    """Return the lines after number ``after``; asking keeps the tail going."""
    user = _operator(request)
    given = request.GET.get("after", "0")
    after = int(given) if given.isascii() and given.isdigit() and len(given) < 16 else 0
    try:
        buffer = tail.watch(opening, service=pk, user=user.pk)
    except tail.TailRefused as refusal:
        return JsonResponse({"error": str(refusal)}, status=410)
    except redis.RedisError:
        return _no_redis()
    shown, missed = buffer.after(after)
    return JsonResponse(
        {
            "seq": buffer.seq,
            "at": buffer.at or None,
            "lines": shown,
            "missed": missed,
            "skipped": buffer.skipped,
            "error": buffer.error,
        }
    )


@operator_action
def stop(request: HttpRequest, pk: int, opening: int) -> HttpResponse:
    """End an opening."""
    try:
        tail.close(opening, service=pk, user=_operator(request).pk)
    except redis.RedisError:
        return _no_redis()
    return HttpResponse(status=204)


def _no_redis() -> JsonResponse:
    return JsonResponse({"error": _("Redis does not answer; try again in a moment.")}, status=503)
