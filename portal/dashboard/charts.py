"""The charts of a service as JSON columns."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.http import Http404, HttpRequest, JsonResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from portal.dashboard.access import viewer_required
from portal.monitoring import history
from portal.monitoring.models import Service

RANGES = {
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
#: Series by their name on the page: the reading's column, and by what its value is divided.
SERIES = {
    "cpu": ("cpu_percent", 1.0),
    "memory": ("memory_bytes", 1024.0**2),
    "log": ("log_lines_per_s", 1.0),
    "streak": ("failing_streak", 1.0),
}


@viewer_required
def chart(request: HttpRequest, pk: int) -> JsonResponse:
    """Return one service's history over ``range``, or over ``from`` to ``to`` (unix seconds)."""
    service = Service.objects.filter(pk=pk).first()
    if service is None:
        raise Http404
    now = timezone.now()
    try:
        found = history.read(service, *_window(request, now), now)
    except history.BadWindow as error:
        return JsonResponse({"error": str(error)}, status=400)
    return JsonResponse(_columns(found), headers={"Cache-Control": "no-store"})


def _window(request: HttpRequest, now: Any) -> tuple[Any, Any]:
    """Return start and end as the query tells them.

    Raises:
        history.BadWindow: it tells neither a known range nor two times.
    """
    if "from" in request.GET or "to" in request.GET:
        try:
            start, end = (float(request.GET[name]) for name in ("from", "to"))
        except (KeyError, ValueError) as error:
            raise history.BadWindow("Give both from and to as unix seconds.") from error
        return history.time(start), history.time(end)
    span = RANGES.get(request.GET.get("range", "1h"))
    if span is None:
        raise history.BadWindow(f"range must be one of {', '.join(RANGES)}.")
    return now - span, now


def _columns(found: history.History) -> dict[str, Any]:
    window = found.window
    return {
        "from": round(window.start.timestamp()),
        "to": round(window.end.timestamp()),
        "offset": (timezone.localtime(window.end).utcoffset() or timedelta()).total_seconds(),
        "step": window.step,
        "source": window.source,
        "at": [point.at for point in found.points],
        "series": {name: _pairs(found.series(column), divisor) for name, (column, divisor) in SERIES.items()},
        "probes": [_probe(one) for one in found.endpoints],
        "events": [_event(event) for event in found.events],
    }


def _probe(one: history.EndpointHistory) -> dict[str, Any]:
    return {
        "name": one.endpoint.name,
        "vantage": str(one.endpoint.get_vantage_display()),
        "at": [point.at for point in one.points],
        "pass": [None if point.values[0] is None else round(point.values[0][0], 4) for point in one.points],
        **_pairs([point.values[1] for point in one.points], 1.0),
    }


def _pairs(pairs: list[tuple[float, float] | None], divisor: float) -> dict[str, list[float | None]]:
    return {
        name: [None if pair is None else round(pair[index] / divisor, 2) for pair in pairs]
        for index, name in enumerate(("mean", "max"))
    }


def _event(event: history.Event) -> dict[str, Any]:
    return {
        "at": event.at,
        "kind": event.kind,
        "text": _text(event),
        "url": reverse("incident", args=[event.number]) if event.number else "",
    }


def _text(event: history.Event) -> str:
    if event.number:
        number = f"INC-{event.number}"
        words = {
            "opened": _("%(number)s opened: %(title)s"),
            "reopened": _("%(number)s reopened: %(title)s"),
            "resolved": _("%(number)s resolved: %(title)s"),
        }
        return words[event.kind] % {"number": number, "title": event.text}
    if event.kind == "restarted":
        return _("Restarted (%(count)s×)") % {"count": event.text}
    if event.kind == "crashed":
        return _("Crashed with exit code %(code)s") % {"code": event.text}
    return {"changed": _("Started with another configuration"), "oom": _("Killed for want of memory")}[
        event.kind
    ]
