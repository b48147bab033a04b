"""Rules against fresh samples: each sample once, whoever evaluates it. Writes states, alerts and signals.

Two workers may hold the same sample. The one whose conditional UPDATE of ``RuleState.version`` matches has
evaluated it; the other reads the state again and finds the sample's time there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from fnmatch import fnmatchcase

from django.conf import settings
from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import F, Q, QuerySet

from incidents import services as incidents
from incidents.errors import IncidentChanged
from incidents.models import Severity
from portal.monitoring.models import Alert, Endpoint, Rule, RuleState
from portal.monitoring.rules import Fold, Thresholds, Verdict, fold
from portal.monitoring.samples import Sample
from portal.monitoring.texts import alert_text, closed_text

logger = logging.getLogger(__name__)

#: Tries of one sample against other workers; each lost race means that one of them wrote.
RACE_TRIES = 5
#: Samples looked up in one query.
BATCH = 400


def evaluate(samples: Sequence[Sample]) -> list[Alert]:
    """Fold every enabled rule over its samples; return the alerts that opened or closed.

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
                if not fnmatchcase(sample.name, rule.service_pattern):
                    continue
                try:
                    alert = _step(rule, sample, known.get((rule.pk, sample.subject)))
                except (DatabaseError, IncidentChanged):
                    # The sample is not lost on the rule: its state is as before and the next one decides.
                    logger.exception("rule %s on %s not evaluated", rule.name, sample.subject)
                    continue
                if alert is not None:
                    changed.append(alert)
    return changed


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
    before = _fold_of(state)
    limits = Thresholds(
        open_above=rule.open_above,
        close_below=rule.close_below,
        open_after=rule.open_after,
        close_after=rule.close_after,
    )
    after, verdict = fold(before, sample.value, limits, at=sample.at, began=sample.began)
    if after == before:
        return None
    with transaction.atomic():
        _write(rule, sample, state, after)
        if verdict is Verdict.OPENED:
            return _open(rule, sample, after.since or sample.at)
        if verdict is Verdict.CLOSED:
            held = Alert.objects.filter(rule=rule, subject=sample.subject)
            return next(iter(close_alerts(held, reason="recovered", at=sample.at)), None)
        return None


def _fold_of(state: RuleState | None) -> Fold:
    if state is None:
        return Fold()
    return Fold(bad=state.bad, good=state.good, firing=state.firing, since=state.since)


def _write(rule: Rule, sample: Sample, state: RuleState | None, after: Fold) -> None:
    """Store ``after`` if nobody wrote since ``state`` was read; raises ``IntegrityError`` otherwise."""
    values = {
        "bad": after.bad,
        "good": after.good,
        "firing": after.firing,
        "since": after.since,
        "value": sample.value,
        "sampled_at": sample.at,
    }
    if state is None:
        RuleState.objects.create(rule=rule, subject=sample.subject, version=1, **values)
        return
    mine = RuleState.objects.filter(pk=state.pk, version=state.version)
    if not mine.update(version=F("version") + 1, **values):
        raise IntegrityError("another worker evaluated this state")


def _open(rule: Rule, sample: Sample, since: datetime) -> Alert:
    """Create the alert and signal its incident, in the caller's transaction."""
    text = alert_text(rule, sample)
    alert, _new = Alert.objects.get_or_create(
        rule=rule,
        subject=sample.subject,
        closed_at=None,
        defaults={
            "fingerprint": sample.fingerprint,
            "service": sample.service,
            "severity": rule.severity,
            "value": sample.value,
            "text": text,
            "opened_at": sample.at,
        },
    )
    if rule.opens_incident:
        signalled = incidents.signal(
            fingerprint=sample.fingerprint,
            key=signal_key(alert),
            title=text,
            service=sample.name,
            severity=Severity(rule.severity),
            detail={
                **sample.extra,
                "rule": rule.name,
                "kind": rule.kind,
                "subject": sample.subject,
                "value": sample.value,
                "limit": rule.open_above,
                "since": since.isoformat(),
            },
            at=sample.at,
            impact_started_at=since,
            resolve_after_s=sample.service.resolve_after_s if sample.service else None,
        )
        alert.incident_number = signalled.incident.number
        alert.save(update_fields=["incident_number"])
    logger.warning("alert opened: %s", text)
    return alert


def signal_key(alert: Alert) -> str:
    """Return the key of the alert's signal in its incident; it outlives a new name of the rule."""
    return f"rule:{alert.rule_id}|{alert.subject}"[:200]


def close_alerts(alerts: QuerySet[Alert], *, reason: str, at: datetime) -> list[Alert]:
    """Close the open ones of ``alerts``, clear their signals and start their rules afresh.

    ``reason`` is a key of :func:`portal.monitoring.texts.closed_text`. Safe against another worker.
    """
    text = closed_text(reason)
    closed = []
    for alert in alerts.filter(closed_at=None).select_related("rule"):
        with transaction.atomic():
            mine = Alert.objects.filter(pk=alert.pk, closed_at=None)
            if not mine.update(closed_at=at, closed_reason=text):
                continue
            alert.closed_at, alert.closed_reason = at, text
            RuleState.objects.filter(rule_id=alert.rule_id, subject=alert.subject).update(
                bad=0, good=0, firing=False, since=None, version=F("version") + 1
            )
            incidents.clear(fingerprint=alert.fingerprint, key=signal_key(alert), at=at, reason=text)
        logger.warning("alert closed (%s): %s", text, alert.text)
        closed.append(alert)
    return closed


def start_afresh(rule: Rule, *, at: datetime) -> list[Alert]:
    """Close the alerts of a rule that looks at something else now: no sample would ever close them."""
    closed = close_alerts(Alert.objects.filter(rule=rule), reason="unwatched", at=at)
    RuleState.objects.filter(rule=rule).delete()
    return closed


def close_unwatched(at: datetime) -> list[Alert]:
    """Close alerts of rules, services and endpoints that were switched off or deleted."""
    gone = Q(rule__enabled=False) | Q(service__enabled=False) | Q(rule__kind="probe", subject__in=_off())
    orphan = Q(service=None, fingerprint__startswith="service:")
    slots = {f"gateway:{key.slot}" for key in settings.GATEWAY_UPSTREAM.keys}
    lost_slot = Q(fingerprint__startswith="gateway:") & ~Q(subject__in=slots)
    held = Alert.objects.filter(closed_at=None).filter(gone | orphan | lost_slot)
    return close_alerts(held, reason="unwatched", at=at)


def _off() -> Iterable[str]:
    """Return the subjects of open probe alerts whose endpoint is switched off or gone."""
    subjects = set(
        Alert.objects.filter(closed_at=None, rule__kind="probe", subject__startswith="endpoint:").values_list(
            "subject", flat=True
        )[:1000]
    )
    numbers = {int(subject.partition(":")[2]) for subject in subjects}
    watched = Endpoint.objects.filter(pk__in=numbers, enabled=True).values_list("pk", flat=True)
    return subjects - {f"endpoint:{number}" for number in watched}
