"""What changed around a checklist item: its target's configuration, alert rules, the gateway's settings."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from incidents.registry import ChangeSeen
from portal.monitoring import policies
from portal.monitoring.models import ConfigSnapshot, Rule
from portal.monitoring.snapshots import differences
from portal.operations.drill_verifiers import SHOWS
from portal.operations.retry_verifiers import slot_names

#: Rows of history that are read.
MAX_ROWS = 50
#: Verifiers that look at the alert rules.
OF_RULES = frozenset({"alert.armed", "posture.rule"})
#: A verifier may see the gateway's settings so much sooner than the collector notes them.
NOTED_LATE = timedelta(seconds=15)
#: The variable of each retry setting that has another name than its own.
_VARIABLES = {"base": "GATEWAY_RETRY_BASE", "cap": "GATEWAY_RETRY_CAP"}


def of_configuration(_verifier: str, target: str, since: datetime, until: datetime) -> list[ChangeSeen]:
    """Return what differs between the configuration that ``target`` ran with at ``since`` and its newest."""
    if not target:
        return []
    known = ConfigSnapshot.objects.filter(service__name=target, last_at__lte=until).order_by(
        "-last_at", "-pk"
    )
    newest = known.filter(last_at__gt=since).first()
    before = known.filter(last_at__lte=since).first()
    if newest is None or before is None:
        return []
    return [
        ChangeSeen(what=one.path, before=one.before or "", after=one.after or "", at=newest.last_at)
        for one in differences(before.config, newest.config)
    ]


def of_rules(verifier: str, _target: str, since: datetime, until: datetime) -> list[ChangeSeen]:
    """Return the changes of alert rules, for verifiers that look at them."""
    if verifier not in OF_RULES:
        return []
    rows = Rule.history.filter(history_date__gt=since, history_date__lte=until)
    return [change for row in rows.select_related("history_user")[:MAX_ROWS] for change in _of_row(row)]


def of_gateway(verifier: str, target: str, since: datetime, until: datetime) -> list[ChangeSeen]:
    """Return the changes of the gateway's retry settings, for verifiers of the retries.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    if verifier not in SHOWS:
        return []
    every = slot_names()
    slots = [target] if target in every else every
    return [change for slot in slots for change in _of_slot(slot, since, until + NOTED_LATE)]


def _of_slot(slot: str, since: datetime, until: datetime) -> list[ChangeSeen]:
    known = [told for told in policies.read(slot) if told.at <= until]
    before = next((told for told in known if told.at <= since), None)
    if before is None or known[0] is before:
        return []
    return [
        ChangeSeen(
            what=f"{slot} {_VARIABLES.get(one.path, f'GATEWAY_{one.path.upper()}')}",
            before=one.before or "",
            after=one.after or "",
            at=known[0].at,
        )
        for one in differences(before.retry, known[0].retry)
    ]


def _of_row(row: Any) -> Iterator[ChangeSeen]:
    who = f" ({row.history_user.get_username()})" if row.history_user else ""
    previous = row.prev_record
    if row.history_type != "~" or previous is None:
        # A rule of the first start has no version to compare with.
        state = {"+": "added", "-": "deleted"}.get(row.history_type, "edited")
        yield ChangeSeen(what=f"{row.name}{who}", before="", after=state, at=row.history_date)
        return
    for change in row.diff_against(previous).changes:
        yield ChangeSeen(
            what=f"{row.name}.{change.field}{who}",
            before=str(change.old),
            after=str(change.new),
            at=row.history_date,
        )
