"""Alerts: opened, raised, held, put down to a cause, acknowledged, closed; and their signals."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import F, Q, QuerySet

from incidents import services as incidents
from incidents.errors import IncidentError
from incidents.models import OPEN_STATES, Incident, Severity, State
from portal.monitoring import dependencies, quiet
from portal.monitoring.models import Alert, Held, Rule, RuleState, Service
from portal.monitoring.rules import Fold
from portal.monitoring.samples import Sample
from portal.monitoring.texts import alert_text, attached_text, cause_text, closed_text, flapping_text

logger = logging.getLogger(__name__)

#: Held alerts looked at in one run.
MAX_HELD = 500


def open_alert(rule: Rule, sample: Sample, fold: Fold) -> Alert:
    """Create the alert and, unless something holds it, signal its incident. In the caller's transaction."""
    since = fold.since or sample.at
    severity = rule.severity_at(fold.level)
    text = alert_text(rule, sample)
    detail = {
        **sample.extra,
        "rule": rule.name,
        "kind": rule.kind,
        "subject": sample.subject,
        "value": sample.value,
        "limit": rule.open_above,
        "since": since.isoformat(),
    }
    if rule.runbook:
        detail["runbook"] = rule.runbook
    alert, _new = Alert.objects.get_or_create(
        rule=rule,
        subject=sample.subject,
        closed_at=None,
        defaults={
            "fingerprint": sample.fingerprint,
            "service": sample.service,
            "name": sample.name,
            "severity": severity,
            "level": fold.level,
            "value": sample.value,
            "text": text,
            "detail": detail,
            "since": since,
            "flapping_since": sample.at if fold.flapping else None,
            "opened_at": sample.at,
        },
    )
    if rule.opens_incident:
        _decide(alert, sample.at)
    logger.warning("alert opened: %s", text)
    return alert


def change_alert(rule: Rule, sample: Sample, fold: Fold) -> Alert | None:
    """Bring an open alert up to the rung and the flapping that ``fold`` reached; ``None`` without one."""
    alert = Alert.objects.filter(rule=rule, subject=sample.subject, closed_at=None).first()
    if alert is None:
        return open_alert(rule, sample, fold) if fold.firing else None
    alert.level = max(alert.level, fold.level)
    alert.severity = rule.severity_at(alert.level)
    if fold.firing:
        alert.value, alert.text = sample.value, alert_text(rule, sample)
        alert.detail = {**alert.detail, **sample.extra, "value": sample.value}
    if fold.flapping and alert.flapping_since is None:
        alert.flapping_since = sample.at
        alert.text = flapping_text(alert.text)
    elif not fold.flapping:
        alert.flapping_since = None
    alert.save(update_fields=["level", "severity", "value", "text", "detail", "flapping_since"])
    if alert.incident_number is not None:
        _signal(alert, sample.at)
    logger.warning("alert changed: %s", alert.text)
    return alert


def _decide(alert: Alert, at: datetime) -> None:
    """Put the alert down to its cause, hold it, or signal its incident; then take its dependents' over."""
    root = None
    if alert.service is not None and alert.rule.kind in dependencies.SUPPRESSIBLE:
        root = dependencies.root_of(alert.service)
    if root is not None:
        alert.suppressed_by, alert.fingerprint = root, dependencies.fingerprint(root)
    quiets = quiet.in_force(at)
    found = quiet.holding(quiets, alert.name, alert.rule.name)
    if found is None and root is not None:
        found = quiet.holding(quiets, root.name, alert.rule.name)
    alert.held = found.held if found else Held.NO
    alert.held_reason = found.reason if found else ""
    alert.save(update_fields=["suppressed_by", "fingerprint", "held", "held_reason"])
    if found is not None:
        return
    _signal(alert, at)
    if root is None and dependencies.is_cause(alert):
        dependencies.adopt(alert, at=at)


def release_held(at: datetime) -> list[Alert]:
    """Open the incidents of alerts that nothing holds back any more; return those alerts."""
    released = []
    held = Alert.objects.filter(closed_at=None).exclude(held=Held.NO)
    for alert in held.select_related("rule", "service").order_by("pk")[:MAX_HELD]:
        with transaction.atomic():
            mine = Alert.objects.select_for_update().filter(pk=alert.pk, closed_at=None, held=alert.held)
            if not mine.exists():
                continue
            _decide(alert, at)
        if alert.held == Held.NO:
            logger.warning("alert no longer held: %s", alert.text)
            released.append(alert)
    return released


def _signal(alert: Alert, at: datetime) -> None:
    """Signal the incident that holds the alert, with the words of a cause when it is put down to one."""
    title, names = alert.text, [alert.name]
    if alert.suppressed_by is not None:
        cause = alert.suppressed_by.name
        title = attached_text(alert.text, cause)
        held = Incident.objects.filter(fingerprint=alert.fingerprint, state__in=OPEN_STATES)
        if not held.exists():
            title = cause_text(alert.text, cause)
            names = [cause, alert.name]
    owner: Service | None = alert.suppressed_by or alert.service
    for name in names:
        signalled = incidents.signal(
            fingerprint=alert.fingerprint,
            key=alert.signal_key,
            title=title,
            service=name,
            severity=Severity(alert.severity),
            detail=alert.detail
            | ({"suppressed_by": alert.suppressed_by.name} if alert.suppressed_by else {}),
            at=at,
            impact_started_at=alert.since,
            resolve_after_s=owner.resolve_after_s if owner else None,
        )
        alert.incident_number = signalled.incident.number
    alert.save(update_fields=["incident_number"])


def acknowledge(alert: Alert, *, reason: str, at: datetime, actor: AbstractBaseUser | None = None) -> None:
    """Record that somebody took the alert, and its incident with it; repeats stop until it recovers.

    Raises:
        ValueError: no reason, or the alert is closed.
    """
    if not reason.strip():
        raise ValueError("an acknowledgement needs a reason")
    with transaction.atomic():
        taken = Alert.objects.filter(pk=alert.pk, closed_at=None).update(
            acknowledged_at=at,
            acknowledged_by=actor.pk if actor else None,
            acknowledged_reason=reason.strip()[:300],
        )
        if not taken:
            raise ValueError("the alert is closed")
        alert.refresh_from_db()
        numbers = [] if alert.incident_number is None else [alert.incident_number]
        for incident in Incident.objects.filter(number__in=numbers, state=State.DETECTED):
            try:
                incidents.acknowledge(incident=incident, at=at, actor=actor, reason=reason.strip())
            except IncidentError:
                # Somebody else moved it first; the alert is acknowledged all the same.
                logger.info("incident %s was moved meanwhile", incident.number)


def renumber(old: int, new: int, keys: Collection[str] | None = None) -> int:
    """Let open alerts of incident ``old`` (those with signal ``keys``) name ``new``; return how many.

    Their fingerprint stays: incidents know by it where their signals went.
    """
    alerts = Alert.objects.filter(incident_number=old, closed_at=None)
    if keys is not None:
        alerts = alerts.filter(pk__in=[one.pk for one in alerts[:MAX_HELD] if one.signal_key in keys])
    return alerts.update(incident_number=new)


def forget_states(states: QuerySet[RuleState]) -> None:
    """Let rules start afresh on what was stopped or removed; clean states are left alone."""
    seen = Q(bad__gt=0) | Q(firing=True) | Q(flapping=True) | ~Q(recent="") | ~Q(parts=[]) | ~Q(changes=[])
    states.filter(seen).update(**_AFRESH, changes=[], flapping=False, version=F("version") + 1)


_AFRESH: dict[str, Any] = {
    "bad": 0, "good": 0, "firing": False, "since": None, "level": 0, "recent": "", "parts": [],
}  # fmt: skip


def close_alerts(alerts: QuerySet[Alert], *, reason: str, at: datetime) -> list[Alert]:
    """Close the open ones of ``alerts``, clear their signals and start their rules afresh.

    ``reason`` is a key of :func:`portal.monitoring.texts.closed_text`. Safe against another worker. What
    recovered keeps the times of its changes, from which flapping is seen.
    """
    text = closed_text(reason)
    fresh = {} if reason == "recovered" else {"changes": [], "flapping": False}
    closed = []
    for alert in alerts.filter(closed_at=None).select_related("rule"):
        with transaction.atomic():
            mine = Alert.objects.filter(pk=alert.pk, closed_at=None)
            if not mine.update(closed_at=at, closed_reason=text):
                continue
            # Another worker may have moved it into its cause's incident meanwhile.
            alert.refresh_from_db(fields=["fingerprint", "incident_number"])
            alert.closed_at, alert.closed_reason = at, text
            RuleState.objects.filter(rule_id=alert.rule_id, subject=alert.subject).update(
                **_AFRESH, **fresh, version=F("version") + 1
            )
            incidents.clear(fingerprint=alert.fingerprint, key=alert.signal_key, at=at, reason=text)
        logger.warning("alert closed (%s): %s", text, alert.text)
        closed.append(alert)
    return closed
