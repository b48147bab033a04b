"""Prevention checklist: runs verifiers and keeps the state honest.

A person's tick is *claimed*; only a passing run makes *verified*; two failing runs in a row make
*failing*; *unknown* never reopens, but a verified item about which nothing was known for long is *stale*;
*waived* items are not run.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from incidents import audit, differences, registry, witnesses
from incidents.errors import IllegalMove, IncidentChanged
from incidents.models import (
    ChecklistItem,
    Incident,
    ItemState,
    Outcome,
    Priority,
    RunTrigger,
    TimelineEvent,
    TimelineKind,
    VerificationRun,
)
from incidents.queue import enqueue_verify
from incidents.registry import Verdict, Verifier

logger = logging.getLogger(__name__)

#: Days for which a risk may be accepted; then somebody has to look at it again.
WAIVER_MAX_DAYS = 365
#: Days until a measure is due.
DUE_DAYS: Mapping[str, int] = {Priority.P0: 3, Priority.P1: 15, Priority.P2: 30, Priority.P3: 90}
#: Failing runs in a row that make an item failing.
FAILURES_TO_FAIL = 2
#: Runs kept for an item, besides its first pass and its last failure.
RUNS_KEPT = 30
#: A verified item is stale this long after the last known result, and sooner when its target is gone.
STALE_AFTER = timedelta(days=7)
GONE_AFTER = timedelta(hours=1)
#: What the audit calls a move to a state.
_ACTIONS: Mapping[str, str] = {
    ItemState.OPEN: "item.reopen",
    ItemState.CLAIMED: "item.claim",
    ItemState.VERIFIED: "item.verified",
    ItemState.FAILING: "item.failing",
    ItemState.STALE: "item.stale",
    ItemState.WAIVED: "item.waive",
}
#: Fields that a move writes, and fields that others may have written meanwhile.
_MOVED = ("state", "waiver_reason", "waived_until", "waived_by")
_OTHERS = (
    *("text", "priority", "owner", "due", "observed", "checked_at", "known_at", "failures", "difference"),
)


def due_for(priority: str, start: date) -> date:
    """Return the default due date of a measure."""
    return start + timedelta(days=DUE_DAYS[priority])


def verifier_for(text: str) -> Verifier | None:
    """Return the verifier whose words a checklist line holds, or None."""
    lower = text.lower()
    for verifier in registry.verifiers().values():
        if any(all(word in lower for word in words) for words in verifier.matches):
            return verifier
    return None


def next_state(state: str, failures: int, outcome: str) -> tuple[str, int]:
    """Fold one run into an item: the new state and the number of failures in a row."""
    if outcome == Outcome.UNKNOWN or state == ItemState.WAIVED:
        return state, failures
    if outcome == Outcome.PASS:
        return ItemState.VERIFIED, 0
    failures += 1
    return (ItemState.FAILING if failures >= FAILURES_TO_FAIL else state), failures


def is_stale(state: str, known_at: datetime | None, verdict: Verdict, now: datetime) -> bool:
    """Whether an item is verified only by what was seen too long ago."""
    if state != ItemState.VERIFIED or verdict.outcome != Outcome.UNKNOWN or known_at is None:
        return False
    return now - known_at > (GONE_AFTER if verdict.gone else STALE_AFTER)


def verify_items(
    *,
    items: Iterable[ChecklistItem],
    now: datetime,
    trigger: RunTrigger = RunTrigger.SCHEDULE,
    budget_s: float | None = None,
) -> list[VerificationRun]:
    """Run the verifier of every given item that has one and is not waived. Looks outside; no transaction.

    After ``budget_s`` seconds no other one is begun.
    """
    began = time.monotonic()
    runs = []
    for item in items:
        if budget_s is not None and time.monotonic() - began > budget_s:
            logger.warning("Verification stopped after %g s; the rest comes first next time", budget_s)
            break
        if item.verifier and not _waived(item, now):
            verdict = _ask(item)
            runs.append(record_run(item=item, verdict=verdict, now=now, trigger=trigger))
    return runs


def verify_all(*, now: datetime, budget_s: float | None = None) -> list[VerificationRun]:
    """Run every item with a verifier, the longest unchecked first; waivers that ran out end before.

    A verified item whose verifier was taken away is stale.
    """
    expired = ChecklistItem.objects.filter(
        state=ItemState.WAIVED, waived_until__lt=timezone.localdate(now)
    ).select_related("report__incident")
    for item in expired:
        _change(item, ItemState.OPEN, now, None, _("the waiver ran out"))
    orphans = ChecklistItem.objects.filter(state=ItemState.VERIFIED, verifier="")
    for item in orphans.select_related("report__incident"):
        _change(item, ItemState.STALE, now, None, _("it has no verifier any more"))
    items = ChecklistItem.objects.exclude(verifier="").select_related("report__incident")
    oldest_first = items.order_by(F("checked_at").asc(nulls_first=True), "report", "order", "pk")
    return verify_items(items=oldest_first, now=now, budget_s=budget_s)


@transaction.atomic
def record_run(
    *, item: ChecklistItem, verdict: Verdict, now: datetime, trigger: RunTrigger = RunTrigger.SCHEDULE
) -> VerificationRun:
    """Keep what a run saw and fold it into the item; a change of state goes to the incident's timeline."""
    mine = ChecklistItem.objects.select_for_update(of=("self",))
    fresh = mine.select_related("report__incident").get(pk=item.pk)
    if any(getattr(fresh, name) != getattr(item, name) for name in ("verifier", "target", "parameters")):
        # Edited while it was looked at: what was seen is of something else.
        verdict = Verdict(Outcome.UNKNOWN, _("Somebody else changed the measure first."), verdict.method)
    run = VerificationRun.objects.create(
        item=fresh,
        at=now,
        outcome=verdict.outcome,
        observed=verdict.observed[:500],
        method=verdict.method[:200],
        trigger=trigger,
    )
    state, failures = next_state(fresh.state, fresh.failures, verdict.outcome)
    if is_stale(fresh.state, fresh.known_at, verdict, now):
        state = ItemState.STALE
    seen: dict[str, Any] = {"observed": run.observed, "checked_at": now, "failures": failures}
    if verdict.outcome != Outcome.UNKNOWN:
        seen["known_at"] = now
    if state != fresh.state:
        seen["difference"] = differences.found(fresh, run) if state == ItemState.FAILING else {}
    ChecklistItem.objects.filter(pk=fresh.pk).update(**seen)
    for name, value in seen.items():
        setattr(fresh, name, value)
    if state != fresh.state:
        _change(fresh, ItemState(state), now, None, run.observed)
    _prune(fresh)
    for name in ("state", *seen):
        setattr(item, name, getattr(fresh, name))
    return run


def add_standing(
    *, key: str, text: str, verifier: str, target: str, parameters: Mapping[str, object], today: date
) -> tuple[ChecklistItem, bool]:
    """Add a measure that belongs to no incident; the second value is False when ``key`` has one already.

    ``key`` names the finding (at most 100 characters). Who added it is in the measure's history.
    """
    return ChecklistItem.objects.get_or_create(
        report=None,
        draft_key=key[:100],
        defaults={
            "text": text,
            "verifier": verifier,
            "target": target[:200],
            "parameters": dict(parameters),
            "priority": Priority.P1,
            "due": due_for(Priority.P1, today),
        },
    )


def claim(*, item: ChecklistItem, at: datetime, actor: AbstractBaseUser | None) -> ChecklistItem:
    """Record a person's tick.

    Raises:
        IllegalMove: the item is verified or waived.
        IncidentChanged: somebody else changed it first.
    """
    if item.state not in (ItemState.OPEN, ItemState.FAILING, ItemState.STALE):
        raise IllegalMove(
            _("A measure that is “%(state)s” cannot be claimed.") % {"state": item.get_state_display()}
        )
    return _change(item, ItemState.CLAIMED, at, actor, "")


def reopen(*, item: ChecklistItem, at: datetime, actor: AbstractBaseUser | None) -> ChecklistItem:
    """Take a claim or a waiver back, or say that a stale item is open.

    Raises:
        IllegalMove: the item is neither claimed, waived nor stale.
        IncidentChanged: somebody else changed it first.
    """
    if item.state not in (ItemState.CLAIMED, ItemState.WAIVED, ItemState.STALE):
        raise IllegalMove(
            _("A measure that is “%(state)s” cannot be reopened.") % {"state": item.get_state_display()}
        )
    return _change(item, ItemState.OPEN, at, actor, "")


def waive(
    *, item: ChecklistItem, at: datetime, actor: AbstractBaseUser | None, reason: str, until: date
) -> ChecklistItem:
    """Accept the risk until a day.

    Raises:
        IllegalMove: no reason, or a day that is over or more than :data:`WAIVER_MAX_DAYS` ahead.
        IncidentChanged: somebody else changed it first.
    """
    if not reason.strip() or until <= timezone.localdate(at):
        raise IllegalMove(_("A waiver needs a reason and a day in the future."))
    if why := too_far(until, timezone.localdate(at)):
        raise IllegalMove(why)
    item.waiver_reason, item.waived_until = reason.strip()[:500], until
    item.waived_by_id = None if actor is None else actor.pk
    return _change(item, ItemState.WAIVED, at, actor, reason)


def too_far(until: date, today: date) -> str:
    """Return why a waiver may not end on ``until``, empty when it may."""
    last = today + timedelta(days=WAIVER_MAX_DAYS)
    if until <= last:
        return ""
    given = {"n": WAIVER_MAX_DAYS, "day": last.isoformat()}
    return _("A waiver lasts at most %(n)d days: give %(day)s or an earlier day.") % given


def assign(
    *, item: ChecklistItem, at: datetime, actor: AbstractBaseUser | None, owner: AbstractBaseUser | None
) -> ChecklistItem:
    """Give the item an owner, or none."""
    before = item.owner.get_username() if item.owner else ""
    item.owner_id = None if owner is None else owner.pk
    with transaction.atomic():
        item.save(update_fields=["owner"])
        after = {"owner": owner.get_username() if owner else ""}
        _audit("item.assign", item, actor, at, before={"owner": before}, after=after)
    return item


def verify_now(*, items: Sequence[ChecklistItem], at: datetime, actor: AbstractBaseUser | None) -> bool:
    """Have a worker run these items' verifiers; False when the broker does not answer."""
    for item in items:
        _audit("item.verify", item, actor, at, after={"verifier": item.verifier, "target": item.target})
    return enqueue_verify([item.pk for item in items])


def edited(
    *, item: ChecklistItem, at: datetime, actor: AbstractBaseUser | None, before: Mapping[str, Any]
) -> None:
    """Record that a person wrote the item; ``before`` has the old values of what changed, none if new."""
    after = {name: str(getattr(item, name)) for name in before or ("text", "priority", "verifier", "target")}
    _audit("item.change" if before else "item.add", item, actor, at, before=before or None, after=after)


def remove(*, item: ChecklistItem, at: datetime, actor: AbstractBaseUser | None) -> None:
    """Delete the item and its runs; its history stays, and the incident's timeline tells it."""
    with transaction.atomic():
        if item.incident is not None:
            TimelineEvent.objects.create(
                incident=item.incident,
                at=at,
                kind=TimelineKind.CHECKLIST,
                actor_id=None if actor is None else actor.pk,
                data={"item": item.pk, "text": item.text, "old": item.state, "new": _("deleted")},
            )
        before = {"state": item.state, "priority": item.priority, "verifier": item.verifier}
        _audit("item.delete", item, actor, at, before=before)
        item.delete()


def forget(*, item: ChecklistItem, at: datetime, actor: AbstractBaseUser | None) -> ChecklistItem:
    """Open an item whose verifier, target or parameters were changed: what was seen proves nothing any more.

    Raises:
        IncidentChanged: somebody else changed it first.
    """
    ChecklistItem.objects.filter(pk=item.pk).update(failures=0, known_at=None, difference={})
    if item.state in (ItemState.VERIFIED, ItemState.FAILING, ItemState.STALE):
        return _change(item, ItemState.OPEN, at, actor, _("it is verified in another way now"))
    return item


def _ask(item: ChecklistItem) -> Verdict:
    verifier = registry.verifiers().get(item.verifier)
    if verifier is None:
        reason = _("No such verifier: %(name)s") % {"name": item.verifier}
        return Verdict(Outcome.UNKNOWN, reason, "", gone=True)
    try:
        own = verifier.check(item.target, {**verifier.defaults, **item.parameters})
    except Exception as error:
        # A verifier is another app's code: its failure says nothing about the target.
        logger.exception("Verifier %s failed on item %s", item.verifier, item.pk)
        own = Verdict(Outcome.UNKNOWN, f"{type(error).__name__}: {error}"[:500], item.verifier)
    return witnesses.joined(own, witnesses.heard(item), item.known_at)


def _waived(item: ChecklistItem, now: datetime) -> bool:
    if item.state != ItemState.WAIVED:
        return False
    return item.waived_until is None or item.waived_until >= timezone.localdate(now)


def _change(
    item: ChecklistItem, to: ItemState, at: datetime, actor: AbstractBaseUser | None, why: str
) -> ChecklistItem:
    old = item.state
    with transaction.atomic():
        if not ChecklistItem.objects.filter(pk=item.pk, state=old).update(state=to):
            raise IncidentChanged(_("Somebody else changed the measure first."))
        # The caller's copy may be older than a worker's run; only the move itself is written.
        item.refresh_from_db(fields=_OTHERS)
        item.state = to
        item.save(update_fields=_MOVED)
        if item.incident is not None:
            told = differences.worded(item.difference) if to == ItemState.FAILING else ""
            TimelineEvent.objects.create(
                incident=item.incident,
                at=at,
                kind=TimelineKind.CHECKLIST,
                actor_id=None if actor is None else actor.pk,
                data={
                    "item": item.pk,
                    "text": item.text,
                    "old": str(old),
                    "new": to.value,
                    "observed": why,
                    **({"changed": told} if told else {}),
                },
            )
        after: dict[str, Any] = {"state": to.value}
        if to == ItemState.WAIVED:
            after["until"] = item.waived_until
        _audit(_ACTIONS[to], item, actor, at, reason=why, before={"state": str(old)}, after=after)
    return item


def _audit(
    action: str, item: ChecklistItem, actor: AbstractBaseUser | None, at: datetime, **told: Any
) -> None:
    number = f"INC-{item.incident.number} " if item.incident else ""
    audit.record(action=action, actor=actor, target=f"{number}#{item.pk} {item.text}", at=at, **told)


def _prune(item: ChecklistItem) -> None:
    runs = VerificationRun.objects.filter(item=item)
    keep = list(runs.values_list("pk", flat=True)[:RUNS_KEPT])
    keep += runs.filter(outcome=Outcome.PASS).order_by("at", "pk").values_list("pk", flat=True)[:1]
    keep += runs.filter(outcome=Outcome.FAIL).values_list("pk", flat=True)[:1]
    runs.exclude(pk__in=keep).delete()


def blocking(incident: Incident) -> list[ChecklistItem]:
    """Return the P0 measures of an incident that are neither verified nor waived: one query.

    A waiver that ran out counts no more, whether or not the sweep has come by since.
    """
    ends = Q(waived_until=None) | Q(waived_until__gte=timezone.localdate())
    done = Q(state=ItemState.VERIFIED) | (Q(state=ItemState.WAIVED) & ends)
    return list(ChecklistItem.objects.filter(~done, report__incident=incident, priority=Priority.P0))
