"""``/drills/``: start a drill with a reason, follow it, abort it, and see it beside an incident's numbers."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from gateway.drills.plan import Measured
from incidents.errors import IncidentError
from incidents.models import REAL, ChecklistItem, Incident
from portal.dashboard import feed_wording
from portal.dashboard.access import operator_action, viewer_required
from portal.dashboard.data import Level
from portal.monitoring.logs import safe_lines
from portal.operations import drill_compare, drill_verifiers, drills
from portal.operations.models import DrillKind, DrillRun, DrillState

Context = dict[str, Any]

#: Drills and incidents listed, and attempts shown of one drill.
SHOWN, INCIDENTS, TRIES = 50, 50, 30
#: How a measure is verified is for editors.
CHANGE_ITEM = "incidents.add_checklistitem"
LEVELS = {
    DrillState.RUNNING: Level.UNKNOWN,
    DrillState.PASSED: Level.OK,
    DrillState.FAILED: Level.CRITICAL,
    DrillState.ABORTED: Level.UNKNOWN,
    DrillState.BROKEN: Level.WARNING,
}


def descriptions() -> list[tuple[str, str, str]]:
    """Return each drill's value, name, and what it replays."""
    words = {
        DrillKind.RETRY_STORM: _(
            "Every connection is refused. Does it wait longer each time, and give up in the end? 1–2 min."
        ),
        DrillKind.ACCEPT_THEN_CLOSE: _(
            "Connections open and close at once. Does the backoff go on although each one succeeds? 1–2 min."
        ),
        DrillKind.MUTE: _("The connection stays and rows stop. Is the feed told to be stale? About 2 min."),
        DrillKind.LOG_FLOOD: _(
            "A file of its own is flooded with retry messages. Do collector and rule see it in time? 1 min."
        ),
        DrillKind.BAD_TOKEN: _(
            "LOGIN rejects every token. Does the session park instead of trying on? 40 s."
        ),
    }
    return [(kind.value, str(kind.label), words[kind]) for kind in DrillKind]


def context() -> Context:
    """Return the page's data: three queries."""
    runs = list(DrillRun.objects.select_related("incident")[:SHOWN])
    return {
        "title": _("Drills"),
        "runs": [_row(run) for run in runs],
        "current": next((_row(run) for run in runs if run.state == DrillState.RUNNING), None),
    }


def detail(pk: int) -> Context | None:
    """Return the page of one drill; None when there is no such row."""
    run = DrillRun.objects.select_related("incident").filter(pk=pk).first()
    if run is None:
        return None
    figures = run.figures
    return {
        "title": f"{run.get_drill_display()} {run.pk}",
        "row": _row(run),
        "run": run,
        "figures": figures,
        "phase": _phase(run, figures),
        "checks": [(one, drill_compare.rule_words(one), drill_compare.seen_words(one)) for one in run.judged],
        "compared": _compared(run, figures),
        "tries": _tries(figures),
        "sample": safe_lines(list(figures.sample))[0] if figures else [],
        "retry": _retry(figures),
        "items": _items(run),
    }


def _row(run: DrillRun) -> Context:
    figures = run.figures
    sentence = ""
    if figures is not None:
        number = run.incident.number if run.incident else None
        sentence = drill_compare.sentence(number, run.frozen, figures)
    return {
        "run": run,
        "level": LEVELS[DrillState(run.state)],
        "sentence": sentence,
        "lasted": (run.ended_at - run.started_at).total_seconds() if run.ended_at else None,
        "unmet": [drill_compare.rule_words(one) for one in run.judged if not one.met],
    }


def _phase(run: DrillRun, figures: Measured | None) -> str:
    if run.state != DrillState.RUNNING:
        return ""
    if run.abort_asked_at is not None:
        return _("ending, as asked")
    if run.taken_at is None:
        return _("waiting for the worker")
    phase = figures.phase if figures else "starting"
    if figures is not None and phase == "fault":
        return _("the fault is on (%(seconds)d s)") % {"seconds": figures.window_s}
    return {
        "starting": _("the session starts"),
        "recovering": _("the fault is over; waiting for recovery"),
    }.get(phase, _("judging"))


def _compared(run: DrillRun, figures: Measured | None) -> list[tuple[str, str, str]]:
    """Return the incident's numbers and the drill's, side by side."""
    if figures is None:
        return []
    then = {name: float(value) for name, value in run.frozen.items()}

    def before(name: str, form: str, unit: float = 1.0) -> str:
        return form.format(then[name] / unit) if name in then else _("no data")

    mib = 2.0**20
    rows = [
        (_("Log lines"), before("lines", "{:,.0f}"), f"{figures.lines:,}"),
        (_("CPU of one core"), before("cpu_percent", "{:.1f} %"), f"{figures.cpu_percent:.1f} %"),
        (_("Memory"), before("memory", "{:,.0f} MiB", mib), f"{figures.memory / mib:,.0f} MiB"),
    ]
    return rows if figures.written else [*rows, (_("Attempts"), _("no data"), str(figures.attempts))]


def _tries(figures: Measured | None) -> list[Context]:
    if figures is None:
        return []
    return [{"one": one, "word": feed_wording.outcome_word(one.outcome)} for one in figures.tries[:TRIES]]


def _retry(figures: Measured | None) -> list[tuple[str, str]]:
    if figures is None:
        return []
    names = (
        *("base", "factor", "cap", "attempt_limit", "breaker_failures", "breaker_delay", "parked_probe"),
        "stable_after",
    )
    return [(name, f"{figures.retry[name]:g}") for name in names if name in figures.retry]


def _items(run: DrillRun) -> list[ChecklistItem]:
    """Return the incident's checklist items, and whether this drill is the evidence of each."""
    if run.incident_id is None:
        return []
    items = list(ChecklistItem.objects.filter(report__incident_id=run.incident_id)[:100])
    of_gateway = any(item.verifier in drill_verifiers.OF_GATEWAY for item in items)
    for item in items:
        bound = item.verifier == drill_verifiers.NAME and item.parameters.get("drill") in (None, run.drill)
        if run.drill == DrillKind.RETRY_STORM and item.verifier in drill_verifiers.SHOWS:
            bound = item.verifier in drill_verifiers.OF_GATEWAY or of_gateway
        item.is_bound = bound  # type: ignore[attr-defined]
    return items


@viewer_required
def page(request: HttpRequest) -> HttpResponse:
    """Show the drill that runs, what was played, and, to operators, the form."""
    incidents = Incident.objects.filter(REAL).only("number", "title")[:INCIDENTS]
    return render(
        request,
        "portal/drills.html",
        {
            **context(),
            "live_page": "drills",
            "kinds": descriptions(),
            "incidents": incidents,
            "chosen": request.GET.get("incident", "")[:9],
            "drill": request.GET.get("drill", DrillKind.RETRY_STORM.value)[:30],
            "reason_max": drills.REASON_MAX,
        },
    )


@viewer_required
def run(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one drill."""
    found = detail(pk)
    if found is None:
        get_object_or_404(DrillRun, pk=pk)
    may_attach = request.user.has_perm(CHANGE_ITEM)
    return render(
        request, "portal/drill.html", {**(found or {}), "live_page": f"drill:{pk}", "may_attach": may_attach}
    )


@operator_action
def start(request: HttpRequest) -> HttpResponse:
    """Order a drill; a refusal is told, not raised."""
    number = request.POST.get("incident", "")
    incident = None
    if number.isascii() and number.isdigit() and len(number) < 10:
        incident = Incident.objects.filter(number=int(number)).first()
    try:
        ordered = drills.start(
            drill=request.POST.get("drill", ""),
            reason=request.POST.get("reason", ""),
            now=timezone.now(),
            by=_actor(request),
            incident=incident,
        )
    except drills.DrillRefused as refusal:
        messages.error(request, str(refusal))
        return redirect("drills")
    if not drills.enqueue(ordered):
        messages.error(request, _("The broker does not answer; the drill was not started."))
    return redirect("drill", pk=ordered.pk)


@operator_action
def abort(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for the end of a drill."""
    found = get_object_or_404(DrillRun, pk=pk)
    if drills.ask_abort(found, now=timezone.now(), by=_actor(request)):
        messages.success(request, _("The drill ends within a few seconds."))
    else:
        messages.info(request, _("The drill is over or ends already."))
    return redirect("drill", pk=pk)


@operator_action
def attach(request: HttpRequest, pk: int, item: int) -> HttpResponse:
    """Make this kind of drill the evidence of a checklist item of the same incident."""
    if not request.user.has_perm(CHANGE_ITEM):
        raise PermissionDenied
    found = get_object_or_404(DrillRun.objects.exclude(incident=None), pk=pk)
    row = get_object_or_404(ChecklistItem, pk=item, report__incident_id=found.incident_id)
    try:
        drills.attach(row, found, by=_actor(request), now=timezone.now())
    except IncidentError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("The newest drill of this kind verifies the item from now on."))
    return redirect(f"{reverse('drill', kwargs={'pk': pk})}#items-title")


def _actor(request: HttpRequest) -> AbstractBaseUser | None:
    return request.user if isinstance(request.user, AbstractBaseUser) else None
