"""Drills as evidence: of items that have no other, and beside the verifiers of the retries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from gateway.drills.plan import Check, Rule
from incidents.models import ChecklistItem, ItemState, Outcome
from incidents.registry import Parameter, Statement, Verdict, Verifier
from portal.operations import drill_compare as compare
from portal.operations.models import DrillKind, DrillRun, DrillState

NAME = "gateway.drill"
METHOD = "manage.py drill %s"
DAYS = 30
#: Measures against a retry storm with a verifier of their own: by its name the rules that concern it most.
SHOWS: Mapping[str, frozenset[Rule]] = {
    "gateway.backoff": frozenset({Rule.MET, Rule.ATTEMPTS, Rule.WAITS, Rule.BREAKER}),
    "gateway.attempt_limit": frozenset({Rule.LIMIT}),
    "logs.retry_level": frozenset({Rule.LINES, Rule.LEVEL, Rule.HOURLY}),
}
#: What of a retry storm is evidence of all these measures. How fast it is told and how it ends is not.
OF_RETRIES = frozenset({Rule.CPU, Rule.MEMORY}).union(*SHOWS.values())
#: These look at the gateway that is drilled. A log's level may be of any service: a drill speaks about it if
#: the same checklist asks for the gateway's retries too.
OF_GATEWAY = frozenset({"gateway.backoff", "gateway.attempt_limit"})
#: Items that take the newest retry storm as their evidence, at most.
MAX_ITEMS = 100


def newest(target: str, parameters: Mapping[str, Any]) -> Verdict:
    """Judge by the newest drill of the kind ``drill``; a pass counts for ``days`` days.

    Aborted drills and those that could not be played say nothing.
    """
    kind = str(parameters.get("drill", ""))
    method = METHOD % kind
    try:
        keep = timedelta(days=float(parameters["days"]))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        return Verdict(Outcome.UNKNOWN, _("the parameters are wrong: %(error)s") % {"error": error}, method)
    if kind not in DrillKind.values:
        names = ", ".join(DrillKind.values)
        return Verdict(Outcome.UNKNOWN, _("drill must be one of %(names)s") % {"names": names}, method)
    run = _ended(kind)
    if run is None:
        return Verdict(Outcome.UNKNOWN, _("no such drill was played yet"), method)
    words = describe(run)
    if run.state == DrillState.FAILED:
        return Verdict(Outcome.FAIL, words, method)
    if timezone.now() - run.started_at > keep:
        late = _("the last drill is older than %(days)g days; play it again") % {
            "days": keep / timedelta(days=1)
        }
        return Verdict(Outcome.UNKNOWN, f"{late}. {words}", method)
    return Verdict(Outcome.PASS, words, method)


def beside(item: ChecklistItem) -> Statement | None:
    """Return what the newest retry storm shows about a measure against it; None when it shows nothing.

    One that would hurt again fails every such measure until another passes: together they are to prevent it.
    """
    if not is_evidence_of(item):
        return None
    run = _ended(DrillKind.RETRY_STORM.value)
    if run is None or run.ended_at is None:
        return None
    method = METHOD % run.drill
    if unmet := [check for check in run.judged if check.rule in OF_RETRIES and not check.met]:
        words = _("a retry storm would hurt again") + ": " + _words(run, unmet)
        return Statement(verdict=Verdict(Outcome.FAIL, words[:500], method), at=run.ended_at)
    if run.state == DrillState.FAILED or timezone.now() - run.started_at > timedelta(days=DAYS):
        return None
    own = [check for check in run.judged if check.rule in SHOWS[item.verifier]]
    return Statement(verdict=Verdict(Outcome.PASS, _words(run, own), method), at=run.ended_at)


def is_evidence_of(item: ChecklistItem) -> bool:
    """Whether the newest retry storm is evidence of ``item`` beside its verifier: at most one query."""
    if item.verifier in OF_GATEWAY:
        return True
    if item.verifier not in SHOWS or item.report_id is None:
        return False
    return ChecklistItem.objects.filter(report_id=item.report_id, verifier__in=OF_GATEWAY).exists()


def retry_items() -> list[ChecklistItem]:
    """Return the measures of which a retry storm is evidence, at most :data:`MAX_ITEMS`."""
    items = ChecklistItem.objects.filter(verifier__in=SHOWS).exclude(state=ItemState.WAIVED)
    found = items.select_related("report__incident").order_by("-pk")[:MAX_ITEMS]
    return [item for item in found if is_evidence_of(item)]


def _ended(kind: str) -> DrillRun | None:
    ended = DrillRun.objects.filter(drill=kind, state__in=(DrillState.PASSED, DrillState.FAILED))
    return ended.select_related("incident").first()


def describe(run: DrillRun) -> str:
    """Return the drill's number, time and figures; of a failed one what was not met comes first."""
    return _words(run, [one for one in run.judged if not one.met])


def _words(run: DrillRun, checks: Iterable[Check]) -> str:
    figures = run.figures
    at = timezone.localtime(run.started_at).strftime("%Y-%m-%d %H:%M %Z")
    parts = [_("drill %(number)d, %(at)s") % {"number": run.pk, "at": at}]
    parts += [f"{compare.rule_words(one)} → {compare.seen_words(one)}" for one in checks]
    if figures is not None:
        parts.append(compare.sentence(run.incident.number if run.incident else None, run.frozen, figures))
    return "; ".join(parts)[:500]


VERIFIERS = (
    Verifier(
        name=NAME,
        label=gettext_lazy("The newest drill of the gateway passed"),
        help=gettext_lazy(
            "Passes when the newest drill of this kind passed within so many days. It needs no target."
        ),
        check=newest,
        defaults={"drill": DrillKind.RETRY_STORM.value, "days": DAYS},
        matches=(("drill",), ("모의 훈련",), ("장애 훈련",)),
        parameters=(
            Parameter(
                name="drill",
                label=gettext_lazy("drill"),
                kind="choice",
                choices=lambda: DrillKind.choices,
            ),
            Parameter(
                name="days",
                label=gettext_lazy("days for which a passed drill counts"),
                kind="number",
                least=1,
                most=400,
            ),
        ),
    ),
)
