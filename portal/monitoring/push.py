"""Results from probers elsewhere: whose token it is, what it may report, and what of it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db.models import Count, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from portal.monitoring import probing, store
from portal.monitoring.logs import safe_line
from portal.monitoring.models import Endpoint, Prober, RuleKind
from portal.monitoring.models.prober import TOKEN_PREFIX, digest
from portal.monitoring.probes.base import MAX_DETAIL, ProbeReading
from portal.monitoring.samples import Sample

#: How old a result may be, and how far ahead the prober's clock may run.
MAX_AGE = timedelta(minutes=10)
MAX_AHEAD = timedelta(seconds=30)
#: Results of one request, requests of one token in a minute, endpoints of one prober.
MAX_RESULTS = 100
PER_MINUTE = 60
MAX_ENDPOINTS = 500
#: Seconds between two writes of a token's last use.
TOUCH_EVERY_S = 60.0


#: Probers that are looked at for silence; each costs nothing but a row.
MAX_PROBERS = 200


class TooMany(Exception):
    """The token was used too often; it may come back within a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A result that was not kept, and why."""

    endpoint: int
    reason: str


def prober_of(token: str, now: datetime) -> Prober | None:
    """Return the prober that holds ``token``, None for an unknown or revoked one; its use is noted."""
    if not token.startswith(TOKEN_PREFIX) or len(token) > 200:
        return None
    found = Prober.objects.filter(token_digest=digest(token), revoked_at=None).first()
    if found is not None:
        old = Q(last_used_at=None) | Q(last_used_at__lt=now - timedelta(seconds=TOUCH_EVERY_S))
        Prober.objects.filter(old, pk=found.pk).update(last_used_at=now)
    return found


def check_rate(prober: Prober) -> None:
    """Count one request.

    Raises:
        TooMany: more than 60 in a minute.
        redis.RedisError: Redis does not answer.
    """
    if store.count_in_minute(f"prober:{prober.pk}") > PER_MINUTE:
        raise TooMany(prober.name)


def assigned(prober: Prober) -> list[Endpoint]:
    """Return what ``prober`` is to probe now."""
    return list(probing.watched().filter(prober=prober).order_by("pk")[:MAX_ENDPOINTS])


def silences(now: datetime) -> list[Sample]:
    """Return for each prober how many seconds ago it was last heard of; 0 for one that has nothing to do.

    One that never came counts from when its token was made. A query.
    """
    busy = Count("endpoints", filter=Q(endpoints__enabled=True))
    probers = Prober.objects.filter(revoked_at=None).annotate(busy=busy).order_by("pk")[:MAX_PROBERS]
    return [_silence(prober, prober.busy, now) for prober in probers]


def _silence(prober: Prober, endpoints: int, now: datetime) -> Sample:
    heard = prober.last_used_at or prober.created_at
    subject = f"prober:{prober.pk}"
    return Sample(
        kind=RuleKind.PROBER,
        subject=subject,
        name=prober.name,
        fingerprint=subject,
        at=now,
        value=max(0.0, (now - heard).total_seconds()) if endpoints else 0.0,
        began=heard if endpoints else None,
        extra={"endpoints": endpoints},
    )


def accept(
    prober: Prober, results: Sequence[tuple[int, ProbeReading]], now: datetime | None = None
) -> tuple[int, list[Refusal]]:
    """Keep ``results`` (endpoint and reading); return how many and what was refused.

    A result that is not newer than the endpoint's last one came before and counts as kept.
    """
    now = now or timezone.now()
    mine = {one.pk: one for one in Endpoint.objects.filter(prober=prober).select_related("service")}
    refused: list[Refusal] = []
    seen = 0
    for number, reading in sorted(results, key=lambda one: one[1].at):
        endpoint = mine.get(number)
        reason = _objection(endpoint, reading, now)
        if endpoint is None or reason:
            refused.append(Refusal(endpoint=number, reason=reason))
            continue
        seen += 1
        if endpoint.at is None or reading.at > endpoint.at:
            probing.record([(endpoint, _cleaned(reading))], pending=True)
    return seen, refused


def _objection(endpoint: Endpoint | None, reading: ProbeReading, now: datetime) -> str:
    if endpoint is None:
        return _("This endpoint is not assigned to this prober.")
    if not endpoint.enabled:
        return _("This endpoint is switched off.")
    if reading.at < now - MAX_AGE:
        return _("The result is older than %(n)d minutes.") % {"n": MAX_AGE.seconds // 60}
    if reading.at > now + MAX_AHEAD:
        return _("The result lies more than %(n)d s in the future: set the prober's clock.") % {
            "n": MAX_AHEAD.seconds
        }
    return ""


def _cleaned(reading: ProbeReading) -> ProbeReading:
    return replace(reading, detail=safe_line(reading.detail.replace("\n", " "))[:MAX_DETAIL])
