"""Endpoints as rows: which are due, how they are asked, what they answered, and what the rules get of it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from portal.monitoring import labels
from portal.monitoring.models import Endpoint, ProbeResult, RunState
from portal.monitoring.probes import schedule
from portal.monitoring.probes.base import ProbeReading, Target
from portal.monitoring.probes.connectivity import Connectivity, parse_addresses
from portal.monitoring.probes.guard import LABEL_NETWORKS, Guard, parse_policy
from portal.monitoring.probes.run import ask, bounded_timeout
from portal.monitoring.samples import Sample, of_endpoint

#: Seconds after which an endpoint whose probe never ended is probed again; above a round's own limit.
LEASE_S = 60.0
#: Pushed results evaluated in one go.
PUSHED_BATCH = 500
NO_RESULT = "no result for three intervals"
BROKEN = "collector error"


def target_of(endpoint: Endpoint) -> Target:
    """Return what to ask for ``endpoint``."""
    return Target(
        url=endpoint.url,
        kind=endpoint.kind,
        timeout_s=bounded_timeout(endpoint.timeout_s),
        host=endpoint.host,
        expected_status=endpoint.expected_status,
        body_contains=endpoint.body_contains,
        expect_frame=endpoint.expect_frame,
        send=endpoint.send,
        min_days=endpoint.min_days,
    )


def guard(*, from_label: bool = False) -> Guard:
    """Return the guard of this portal's own probes.

    A container's label may name loopback and private addresses; anything typed by a person may reach public
    addresses and those in ``PROBE_ALLOW``.
    """
    allowed = _policy(tuple(settings.PROBE_ALLOW))
    policy = allowed.including(LABEL_NETWORKS) if from_label else allowed
    return Guard(policy=policy, ca_file=settings.PROBE_CA_FILE)


_policy = lru_cache(maxsize=4)(parse_policy)


def connectivity() -> Connectivity:
    """Return the check of this portal's own network, the same for the whole process."""
    return _connectivity(tuple(settings.PROBE_CONNECTIVITY))


@lru_cache(maxsize=4)
def _connectivity(entries: tuple[str, ...]) -> Connectivity:
    # An administrator chose these addresses, so internal ones are as good as others.
    everywhere = parse_policy(["0.0.0.0/0", "::/0"])
    return Connectivity(parse_addresses(entries), Guard(policy=everywhere))


def probe_target(target: Target, *, from_label: bool = False) -> ProbeReading:
    """Ask ``target`` once, and ask whether our own network is there before blaming it."""
    return connectivity().judge(target, ask(target, guard(from_label=from_label)))


def probe(endpoint: Endpoint) -> ProbeReading:
    """Ask one endpoint."""
    return probe_target(target_of(endpoint), from_label=labels.is_asked_for(endpoint))


def watched() -> QuerySet[Endpoint]:
    """Return the endpoints that are probed: those of services that were stopped or removed are left alone."""
    ended = Q(service__state__state=RunState.GONE) | Q(
        service__state__state=RunState.EXITED, service__state__stopped_on_purpose=True
    )
    return (
        Endpoint.objects.filter(enabled=True)
        .exclude(service__isnull=False, service__enabled=False)
        .exclude(ended)
    )


def claim(count: int, now: datetime | None = None) -> list[Endpoint]:
    """Return at most ``count`` endpoints that are due, for this caller alone; the longest waiting first."""
    now = now or timezone.now()
    due = watched().filter(Q(next_at=None) | Q(next_at__lte=now), prober=None)
    found = due.select_related("service").order_by(F("next_at").asc(nulls_first=True), "pk")[:count]
    lease = now + timedelta(seconds=LEASE_S)
    return [
        endpoint
        for endpoint in found
        if Endpoint.objects.filter(pk=endpoint.pk, next_at=endpoint.next_at).update(next_at=lease)
    ]


def record(probed: Sequence[tuple[Endpoint, ProbeReading | None]], *, pending: bool = False) -> list[Sample]:
    """Store probe results and return the samples for the rules.

    A broken probe (``None``) and one that says nothing about the target make the endpoint unknown: no
    sample, so no alert opens or closes. ``pending`` leaves the samples to the next round of the worker.
    """
    samples = []
    with transaction.atomic():
        results = []
        for endpoint, reading in probed:
            if not _write(endpoint, reading) or reading is None or reading.ok is None:
                continue
            results.append(
                ProbeResult(
                    endpoint=endpoint,
                    at=reading.at,
                    ok=reading.ok,
                    latency_ms=reading.latency_ms,
                    first_frame_ms=reading.first_frame_ms,
                    status=reading.status,
                    close_code=reading.close_code,
                    detail=endpoint.detail,
                    pending=pending,
                )
            )
            samples.extend(of_endpoint(endpoint))
        ProbeResult.objects.bulk_create(results)
    return samples


def _write(endpoint: Endpoint, reading: ProbeReading | None) -> bool:
    """Bring the endpoint's row up to date; return whether it still exists."""
    mine = Endpoint.objects.filter(pk=endpoint.pk)
    if reading is None:
        retry = timezone.now() + timedelta(seconds=schedule.FAILING_S)
        return bool(mine.update(ok=None, detail=BROKEN, next_at=retry))
    endpoint.at, endpoint.ok, endpoint.latency_ms = reading.at, reading.ok, reading.latency_ms
    endpoint.detail, endpoint.status = reading.detail[:300], reading.status
    endpoint.first_frame_ms, endpoint.close_code = reading.first_frame_ms, reading.close_code
    endpoint.expires_at = reading.expires_at
    recovered = reading.ok is True and endpoint.failures > 0
    if reading.ok is not None:
        endpoint.failures = 0 if reading.ok else endpoint.failures + 1
    unsure = max(endpoint.failures, schedule.CONFIRMATIONS + 1) if reading.ok is None else endpoint.failures
    delay = schedule.delay_s(
        failures=unsure,
        interval_s=endpoint.interval_s,
        random=random.random(),  # noqa: S311 - spreads probes, no secret
        recovered=recovered,
    )
    stale = schedule.stale_after_s(endpoint.interval_s, endpoint.timeout_s)
    endpoint.next_at = timezone.now() + timedelta(seconds=delay)
    endpoint.stale_at = reading.at + timedelta(seconds=stale)
    written = (
        "at", "ok", "latency_ms", "detail", "status", "first_frame_ms", "close_code", "expires_at",
        "failures", "next_at", "stale_at",
    )  # fmt: skip
    return bool(mine.update(**{name: getattr(endpoint, name) for name in written}))


def take_pushed() -> tuple[list[int], list[Sample]]:
    """Return pushed results that no rule has seen, oldest first: their numbers and samples.

    Call :func:`pushed_done` after the rules saw them. A worker that dies between is no harm: a rule takes
    each sample once.
    """
    rows = ProbeResult.objects.filter(pending=True).select_related("endpoint__service").order_by("at", "pk")
    numbers, samples = [], []
    for row in rows[:PUSHED_BATCH]:
        endpoint = row.endpoint
        endpoint.at, endpoint.ok, endpoint.detail = row.at, row.ok, row.detail
        endpoint.latency_ms = row.latency_ms
        numbers.append(row.pk)
        samples.extend(of_endpoint(endpoint))
    return numbers, samples


def pushed_done(numbers: Sequence[int]) -> None:
    """Note that the rules saw these results."""
    ProbeResult.objects.filter(pk__in=numbers).update(pending=False)


def mark_stale(now: datetime) -> int:
    """Make endpoints unknown that had no result for three intervals; return how many."""
    old = Endpoint.objects.filter(stale_at__lt=now, ok__isnull=False)
    return old.update(ok=None, detail=NO_RESULT, failures=0)
