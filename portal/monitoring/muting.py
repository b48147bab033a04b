"""Which incidents are not to be repeated: acknowledged, silenced, in maintenance or flapping."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime, timedelta

from django.db.models import Max

from incidents.models import Notification
from portal.monitoring import quiet
from portal.monitoring.models import Alert

#: A flapping incident is told again at most once in this time.
FLAP_TELL = timedelta(hours=1)
MAX_ALERTS = 2_000


def muted(numbers: Collection[int], now: datetime) -> set[int]:
    """Return the incidents whose every open alert is to be left alone at ``now``: four queries at most."""
    alerts: dict[int, list[Alert]] = defaultdict(list)
    rows = Alert.objects.filter(closed_at=None, incident_number__in=numbers)
    for alert in rows.select_related("rule", "suppressed_by")[:MAX_ALERTS]:
        alerts[alert.incident_number or 0].append(alert)
    if not alerts:
        return set()
    quiets = quiet.in_force(now)
    told = dict(
        Notification.objects.filter(incident__number__in=list(alerts))
        .values_list("incident__number")
        .annotate(last=Max("created_at"))
    )

    def alone(alert: Alert, number: int) -> bool:
        if alert.acknowledged_at is not None:
            return True
        if quiet.holding(quiets, alert.name, alert.rule.name) is not None:
            return True
        last = told.get(number)
        return alert.flapping_since is not None and last is not None and now - last < FLAP_TELL

    def all_alone(number: int, held: list[Alert]) -> bool:
        roots = [alert for alert in held if alert.suppressed_by is None]
        # Where only dependents are left burning, they speak for themselves.
        return bool(roots) and all(alone(alert, number) for alert in roots)

    return {number for number, held in alerts.items() if all_alone(number, held)}
