"""What every page says when messages about outages may reach nobody: one query."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import Subquery

from incidents.models import Channel
from portal.monitoring import selftest
from portal.monitoring.models import SelfTestState


@dataclass(frozen=True, slots=True)
class Notices:
    """Whether nobody is told; and of the last self-test, unless it passed, its result and when it began."""

    no_channel: bool = False
    self_test: str = ""
    self_test_at: datetime | None = None


def look() -> Notices:
    """Return the notices of now. Without a channel a self-test has nothing to say."""
    latest = selftest.ended().values("state", "started_at")
    found = (
        Channel.objects.filter(enabled=True)
        .annotate(last_state=Subquery(latest.values("state")[:1]))
        .annotate(last_at=Subquery(latest.values("started_at")[:1]))
        .values_list("last_state", "last_at")
        .first()
    )
    if found is None:
        return Notices(no_channel=not settings.NOTIFY_URLS)
    state, at = found
    if state in (None, SelfTestState.PASSED):
        return Notices()
    return Notices(self_test=str(SelfTestState(state).label), self_test_at=at)
