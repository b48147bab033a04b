"""What is due or decided by a clock that was ahead, once it was set back."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F

from incidents import notifications
from portal.heartbeat import SKEW
from portal.monitoring.models import Endpoint, RuleState


def forget_the_future(now: datetime) -> int:
    """Let rules take samples of ``now`` again, and probes and messages be due; return the states changed.

    A rule leaves samples alone that are older than its last one, and a probe waits for its time: without
    this both would do nothing until the clock has caught up. What fires goes on firing.
    """
    late = now + timedelta(seconds=SKEW)
    with transaction.atomic():
        RuleState.objects.filter(since__gt=late).update(since=now, version=F("version") + 1)
        changed = RuleState.objects.filter(sampled_at__gt=late).update(
            sampled_at=now, parts=[], changes=[], version=F("version") + 1
        )
        Endpoint.objects.filter(next_at__gt=late).update(next_at=None)
    notifications.hasten(now)
    return changed
