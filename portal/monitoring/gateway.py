"""Samples of the gateway, read through ``gateway.status`` only: not live, parked, topics without a place."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from django.conf import settings

from gateway.status import FeedState, GatewayStatus, read_statuses
from portal.monitoring import policies, store
from portal.monitoring.logs import safe_line
from portal.monitoring.models import RuleKind
from portal.monitoring.samples import Sample

#: States in which nothing is wrong; outside market hours a feed is closed, not broken.
FINE = (FeedState.LIVE, FeedState.CLOSED)


def samples(now: datetime) -> list[Sample]:
    """Return the samples of each configured slot, whether it is live first.

    Raises:
        redis.RedisError: Redis does not answer, so nothing is known.
    """
    slots = [key.slot for key in settings.GATEWAY_UPSTREAM.keys]
    found = {status.slot: status for status in read_statuses(store.client(), slots)}
    store.gateway_present([slot for slot in slots if slot in found])
    policies.note(found.values(), now)
    live = [_sample(slot, found.get(slot), now) for slot in slots]
    return live + [more for sample in live for more in _states(sample, found.get(sample.name))]


def _states(live: Sample, status: GatewayStatus | None) -> list[Sample]:
    """Return what only a gateway that runs can tell."""
    if status is None:
        return []
    parked = status.feed is FeedState.PARKED
    return [
        replace(live, kind=RuleKind.GATEWAY_PARKED, value=float(parked)),
        replace(live, kind=RuleKind.GATEWAY_UNPLACED, value=float(status.unplaced), began=None),
    ]


def _sample(slot: str, status: GatewayStatus | None, now: datetime) -> Sample:
    if status is None:
        since = store.gateway_missing_since(slot)
        extra: dict[str, object] = {"feed": ""}
    else:
        since = datetime.fromtimestamp(status.since, UTC)
        extra = {
            "feed": status.feed.value,
            "session": status.session,
            "attempts": status.attempts,
            "last_error": safe_line(status.last_error)[:300],
            "next_retry_s": status.next_retry_s,
            "breaker": status.breaker,
        }
    fine = status is not None and status.feed in FINE
    return Sample(
        kind=RuleKind.GATEWAY,
        subject=f"gateway:{slot}",
        name=slot,
        fingerprint=f"gateway:{slot}",
        at=now,
        value=0.0 if fine else max(0.0, (now - since).total_seconds()),
        began=None if fine else since,
        extra=extra,
    )
