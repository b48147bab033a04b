"""The verifier that takes the newest drill as its evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from gateway.drills.plan import Check, Rule
from incidents.models import Outcome
from incidents.registry import Parameter, Verdict, Verifier
from portal.operations import drill_compare as compare
from portal.operations.models import DrillKind, DrillRun, DrillState

NAME = "gateway.drill"
METHOD = "manage.py drill %s"
DAYS = 30
#: What a retry storm shows of measures that another verifier checks: its rules by the verifier's name.
SHOWS = {
    "gateway.backoff": frozenset({Rule.MET, Rule.ATTEMPTS, Rule.WAITS, Rule.BREAKER}),
    "gateway.attempt_limit": frozenset({Rule.LIMIT}),
    "logs.retry_level": frozenset({Rule.LINES, Rule.LEVEL, Rule.HOURLY}),
}


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
    ended = DrillRun.objects.filter(drill=kind, state__in=(DrillState.PASSED, DrillState.FAILED))
    run = ended.select_related("incident").first()
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


def shown(run: DrillRun, verifier: str) -> Verdict | None:
    """Return what a played retry storm says about a measure of ``verifier``; None when it says nothing."""
    judged = [check for check in run.judged if check.rule in SHOWS.get(verifier, ())]
    if run.drill != DrillKind.RETRY_STORM or not judged:
        return None
    outcome = Outcome.PASS if all(check.met for check in judged) else Outcome.FAIL
    return Verdict(outcome, _words(run, judged), METHOD % run.drill)


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
