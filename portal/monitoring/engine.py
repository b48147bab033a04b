"""Rules against fresh samples: each sample once, whoever evaluates it. Writes states; alerts follow.

Two workers may hold the same sample. The one whose conditional UPDATE of ``RuleState.version`` matches has
evaluated it; the other reads the state again and finds the sample's time there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from django.conf import settings
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import F, Q

from incidents.errors import IncidentChanged
from portal.monitoring import market
from portal.monitoring.alerting import change_alert, close_alerts, open_alert
from portal.monitoring.models import Alert, Endpoint, Prober, Rule, RuleState
from portal.monitoring.models.alert import LOW_IS_BAD, TRENDS, read_ladder
from portal.monitoring.rules import Fold, Thresholds, Verdict, fold
from portal.monitoring.samples import Sample

logger = logging.getLogger(__name__)

#: Tries of one sample against other workers; each lost race means that one of them wrote.
RACE_TRIES = 5
#: Samples looked up in one query.
BATCH = 400


def evaluate(samples: Sequence[Sample]) -> list[Alert]:
    """Fold every enabled rule over its samples; return the alerts that opened, changed or closed.

    A state that stays clean is not written: evaluating a good sample twice changes nothing.
    """
    rules: dict[str, list[Rule]] = {}
    for rule in Rule.objects.filter(enabled=True):
        rules.setdefault(rule.kind, []).append(rule)
    changed = []
    for start in range(0, len(samples), BATCH):
        batch = samples[start : start + BATCH]
        subjects = {sample.subject for sample in batch}
        known = {
            (state.rule_id, state.subject): state for state in RuleState.objects.filter(subject__in=subjects)
        }
        for sample in batch:
            for rule in rules.get(sample.kind, ()):
                if not sample.concerns(rule):
                    continue
                try:
                    alert = _step(rule, sample.measured_for(rule), known.get((rule.pk, sample.subject)))
                except (DatabaseError, IncidentChanged):
                    # The sample is not lost on the rule: its state is as before and the next one decides.
                    logger.exception("rule %s on %s not evaluated", rule.name, sample.subject)
                    continue
                if alert is not None:
                    changed.append(alert)
    return changed


def thresholds(rule: Rule) -> Thresholds:
    """Return what a rule's row says, as the fold takes it."""
    return Thresholds(
        open_above=rule.open_above,
        close_below=rule.close_below,
        open_after=rule.open_after,
        close_after=rule.close_after,
        window_bad=rule.window_bad,
        window_size=rule.window_size,
        sustain_s=0.0 if rule.kind in TRENDS else rule.sustain_s,
        ladder=tuple(value for value, _severity in read_ladder(rule.ladder)),
        low_is_bad=rule.kind in LOW_IS_BAD,
    )


def _step(rule: Rule, sample: Sample, state: RuleState | None) -> Alert | None:
    """Fold one sample, looking again after each lost race."""
    for _try in range(RACE_TRIES):
        try:
            return _fold_once(rule, sample, state)
        except IntegrityError:
            state = RuleState.objects.filter(rule=rule, subject=sample.subject).first()
    logger.warning("rule %s on %s lost every race", rule.name, sample.subject)
    return None


def _fold_once(rule: Rule, sample: Sample, state: RuleState | None) -> Alert | None:
    """Write one fold with everything that follows from it.

    Raises:
        IntegrityError: another worker wrote the state first.
    """
    if sample.value is None or (state is not None and state.sampled_at >= sample.at):
        return None
    before, limits = _fold_of(state), thresholds(rule)
    if rule.market and not limits.is_good(sample.value) and not market.is_open(rule.market, sample.at):
        # Bad outside its hours decides nothing, and does not count when they begin; recovery still does.
        if before.firing or before.flapping:
            return None
        after, verdict = Fold(changes=before.changes), None
    else:
        after, verdict = fold(before, sample.value, limits, at=sample.at, began=sample.began)
    if after == before:
        return None
    with transaction.atomic():
        _write(rule, sample, state, after)
        match verdict:
            case Verdict.OPENED:
                return open_alert(rule, sample, after)
            case Verdict.CLOSED:
                held = Alert.objects.filter(rule=rule, subject=sample.subject)
                return next(iter(close_alerts(held, reason="recovered", at=sample.at)), None)
            case Verdict.RAISED | Verdict.FLAPPING | Verdict.STEADY:
                return change_alert(rule, sample, after)
            case None:
                return None


def _fold_of(state: RuleState | None) -> Fold:
    """Read what :func:`_write` stored; lists that are not what it wrote count as empty."""
    if state is None:
        return Fold()
    try:
        parts = tuple((int(number), float(total), int(count)) for number, total, count in state.parts)
        changes = tuple(datetime.fromtimestamp(moment, UTC) for moment in state.changes)
    except (TypeError, ValueError):
        parts, changes = (), ()
    return Fold(
        bad=state.bad,
        good=state.good,
        firing=state.firing,
        since=state.since,
        recent=state.recent,
        parts=parts,
        changes=changes,
        flapping=state.flapping and bool(changes),
        level=state.level,
    )


def _write(rule: Rule, sample: Sample, state: RuleState | None, after: Fold) -> None:
    """Store ``after`` if nobody wrote since ``state`` was read; raises ``IntegrityError`` otherwise."""
    values = {
        "bad": after.bad,
        "good": after.good,
        "firing": after.firing,
        "since": after.since,
        "recent": after.recent,
        "parts": [list(part) for part in after.parts],
        "changes": [moment.timestamp() for moment in after.changes],
        "flapping": after.flapping,
        "level": after.level,
        "value": sample.value,
        "sampled_at": sample.at,
    }
    if state is None:
        RuleState.objects.create(rule=rule, subject=sample.subject, version=1, **values)
        return
    mine = RuleState.objects.filter(pk=state.pk, version=state.version)
    if not mine.update(version=F("version") + 1, **values):
        raise IntegrityError("another worker evaluated this state")


def start_afresh(rule: Rule, *, at: datetime) -> list[Alert]:
    """Close the alerts of a rule that looks at something else now: no sample would ever close them."""
    closed = close_alerts(Alert.objects.filter(rule=rule), reason="unwatched", at=at)
    RuleState.objects.filter(rule=rule).delete()
    return closed


def close_unwatched(at: datetime) -> list[Alert]:
    """Close alerts of rules, services and endpoints that were switched off or deleted."""
    gone = Q(rule__enabled=False) | Q(service__enabled=False) | Q(subject__in=_off())
    orphan = Q(service=None, subject__startswith="docker:") | Q(service=None, subject__startswith="process:")
    slots = {f"gateway:{key.slot}" for key in settings.GATEWAY_UPSTREAM.keys}
    lost_slot = Q(fingerprint__startswith="gateway:") & ~Q(subject__in=slots)
    gone_prober = Q(subject__startswith="prober:") & ~Q(subject__in=_probers())
    held = Alert.objects.filter(closed_at=None).filter(gone | orphan | lost_slot | gone_prober)
    return close_alerts(held, reason="unwatched", at=at)


def _probers() -> set[str]:
    """Return the subjects of probers whose token is good; a revoked one is silent because it has to be."""
    return {f"prober:{pk}" for pk in Prober.objects.filter(revoked_at=None).values_list("pk", flat=True)}


def _off() -> Iterable[str]:
    """Return the subjects of open alerts whose endpoint is switched off or gone."""
    subjects = set(
        Alert.objects.filter(closed_at=None, subject__startswith="endpoint:").values_list(
            "subject", flat=True
        )[:1000]
    )
    numbers = {int(subject.partition(":")[2]) for subject in subjects}
    watched = Endpoint.objects.filter(pk__in=numbers, enabled=True).values_list("pk", flat=True)
    return subjects - {f"endpoint:{number}" for number in watched}


__all__ = ["close_alerts", "close_unwatched", "evaluate", "start_afresh", "thresholds"]
