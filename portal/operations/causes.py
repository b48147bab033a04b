"""What changed around a checklist item: its target's configuration, alert rules, the gateway's settings."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from incidents.registry import ChangeSeen
from portal.monitoring.models import ConfigSnapshot, Rule
from portal.monitoring.snapshots import differences
from portal.operations.drill_verifiers import SHOWS
from portal.operations.models import DrillKind, DrillRun, DrillState

#: Rows of history that are read.
MAX_ROWS = 50
#: Verifiers that look at the alert rules.
OF_RULES = frozenset({"alert.armed", "posture.rule"})
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


def of_drills(verifier: str, _target: str, since: datetime, until: datetime) -> list[ChangeSeen]:
    """Return which retry settings differ between the last drill that passed and the newest, failed one."""
    if verifier not in SHOWS:
        return []
    ended = DrillRun.objects.filter(drill=DrillKind.RETRY_STORM, ended_at__lte=until)
    failed = ended.filter(state__in=(DrillState.PASSED, DrillState.FAILED)).first()
    if failed is None or failed.state != DrillState.FAILED or not since < (failed.ended_at or since):
        return []
    passed = ended.filter(state=DrillState.PASSED).first()
    if passed is None:
        return []
    before, after = (run.figures.retry if run.figures else {} for run in (passed, failed))
    return [
        ChangeSeen(
            what=_VARIABLES.get(name, f"GATEWAY_{name.upper()}"),
            before=f"{before[name]:g}",
            after=f"{value:g}",
            at=failed.started_at,
        )
        for name, value in sorted(after.items())
        if name in before and before[name] != value
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
