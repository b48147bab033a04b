"""A prober elsewhere that falls silent is told, since its endpoints only turn unknown."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
import redis
from django.utils import timezone

from incidents.models import Incident
from portal.monitoring import engine, push, tasks
from portal.monitoring.models import Alert, Endpoint, ProbeKind, Prober

pytestmark = pytest.mark.django_db


def prober(name: str, *, heard: datetime | None, endpoints: int = 2) -> Prober:
    """A prober with endpoints of its own, last heard of at ``heard``."""
    one = Prober(name=name, last_used_at=heard)
    one.make_token()
    one.save()
    for number in range(endpoints):
        Endpoint.objects.create(
            name=f"{name} {number}", url=f"https://example.com/{number}", kind=ProbeKind.HTTP, prober=one
        )
    return one


def look(at: datetime) -> set[str]:
    """Evaluate the rule at ``at`` and return the subjects that fire."""
    engine.evaluate(push.silences(at))
    return set(Alert.objects.filter(closed_at=None).values_list("subject", flat=True))


def test_silence_over_the_limit_opens_one_incident_that_ends_when_it_is_heard() -> None:
    now = timezone.now()
    office, other = prober("office", heard=now), prober("other", heard=now)
    assert look(now + timedelta(seconds=170)) == set()
    Prober.objects.filter(pk=other.pk).update(last_used_at=now + timedelta(seconds=175))

    assert look(now + timedelta(seconds=185)) == {f"prober:{office.pk}"}
    incident = Incident.objects.get()
    assert incident.fingerprint == f"prober:{office.pk}"
    for part in ("office", "185", "2", "180"):
        assert part in incident.title
    assert incident.impact_started_at == now
    look(now + timedelta(seconds=190))
    assert Incident.objects.count() == 1

    Prober.objects.filter(pk=office.pk).update(last_used_at=now + timedelta(seconds=200))
    assert look(now + timedelta(seconds=205)) == set()


def test_one_that_never_came_counts_from_its_token() -> None:
    one = prober("never", heard=None)
    assert look(one.created_at + timedelta(seconds=100)) == set()
    assert look(one.created_at + timedelta(seconds=181)) == {f"prober:{one.pk}"}


@pytest.mark.parametrize("idle", ["none", "switched off"])
def test_one_with_nothing_to_do_may_be_silent(idle: str) -> None:
    one = prober("idle", heard=timezone.now(), endpoints=0 if idle == "none" else 1)
    one.endpoints.update(enabled=False)
    assert look(timezone.now() + timedelta(days=1)) == set()


def test_a_revoked_token_closes_what_its_silence_opened(redis_client: redis.Redis) -> None:
    one = prober("revoked", heard=timezone.now() - timedelta(seconds=400))
    tasks.probe()
    assert Alert.objects.get(closed_at=None).subject == f"prober:{one.pk}"

    Prober.objects.update(revoked_at=timezone.now())
    tasks.probe()
    assert not Alert.objects.filter(closed_at=None).exists()
    assert not Incident.objects.get().signals.filter(cleared_at=None).exists()
