"""The audit's only door: :func:`record` adds a row, chained to the one before.

Writers stand in line at the row of ``AuditHead`` until their transaction ends, so call it last in one.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from itertools import takewhile
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import models, transaction
from django.utils import timezone

from incidents import audit_anchor
from incidents.audit_anchor import PRUNED, Anchor
from incidents.audit_seal import START, code, genuine, signing_key
from incidents.models import AuditEntry, AuditHead
from incidents.redaction import redact

logger = logging.getLogger(__name__)

#: Characters kept of a target, of a reason, and of the values before and after as JSON.
TARGET_MAX = 200
REASON_MAX = 2_000
VALUES_MAX = 16_000
#: Entries that one call of :func:`prune` removes at most.
PRUNE_BATCH = 10_000

_ACTION = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)+")
_HEAD = 1


def record(
    *,
    action: str,
    actor: AbstractBaseUser | AnonymousUser | None,
    target: str,
    reason: str = "",
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    at: datetime | None = None,
) -> AuditEntry:
    """Record that ``actor`` (None: Bonghwa itself) did ``action`` to ``target``.

    It is part of the caller's transaction: what is rolled back was not done. Secrets in the texts are masked;
    longer texts are cut, larger values replaced by their size.

    Raises:
        ValueError: ``action`` is no dotted word such as ``service.restart``.
    """
    if len(action) > 64 or not _ACTION.fullmatch(action):
        raise ValueError(f"an action is a dotted word of at most 64 characters, not {action[:80]!r}")
    person = actor if actor is not None and actor.pk is not None else None
    with transaction.atomic():
        head, last = _line_up()
        entry = AuditEntry(
            seq=last.seq + 1,
            at=at or timezone.now(),
            actor_id=None if person is None else person.pk,
            actor_name=_clean(person.get_username(), 150) if isinstance(person, AbstractBaseUser) else "",
            action=action,
            target=_clean(" ".join(target.split()), TARGET_MAX),
            reason=_clean(reason, REASON_MAX),
            before_json=_values(before),
            after_json=_values(after),
            key_id=signing_key(),
            previous=last.mac,
        )
        entry.mac = code(entry) or ""
        entry.save()
        AuditHead.objects.filter(pk=head.pk).update(seq=entry.seq, mac=entry.mac)
        transaction.on_commit(partial(_committed, Anchor(entry.seq, entry.mac)), robust=True)
    return entry


def prune(*, now: datetime) -> int:
    """Remove entries older than ``AUDIT_KEEP_DAYS``; a signed entry says up to which one.

    Returns how many were removed, at most :data:`PRUNE_BATCH`.
    """
    with transaction.atomic():
        _line_up()
        oldest = AuditEntry.objects.order_by("seq").values_list("seq", "at", "mac")[:PRUNE_BATCH]
        since = now - timedelta(days=settings.AUDIT_KEEP_DAYS)
        # Only from the beginning: a clock that jumped must not cut a hole.
        gone = list(takewhile(lambda row: row[1] < since, oldest.iterator(chunk_size=1_000)))
        if not gone:
            return 0
        seq, _at, mac = gone[-1]
        record(action=PRUNED, actor=None, target=str(seq), after={"seq": seq, "mac": mac}, at=now)
        # The model refuses to delete, and the database's trigger lets go only what an entry says is pruned.
        return int(models.QuerySet(AuditEntry).filter(seq__lte=seq)._raw_delete("default"))


def follow(seen: int) -> int:
    """Move this process's anchor to the newest entry, which another process may have written.

    A process keeps its anchor in its own ``DATA_DIR``. ``seen`` is what the last call returned, 0 at first:
    without a newer entry nothing is done. Causes one SQL query then, up to three otherwise.
    """
    newest = AuditEntry.objects.filter(seq__gt=seen).order_by("-seq").first()
    # Whoever has the database alone could else move the anchor to an entry that will never be.
    if newest is None or not genuine(newest):
        return seen
    audit_anchor.advance(Anchor(newest.seq, newest.mac))
    return newest.seq


def reanchor(*, reason: str, actor: AbstractBaseUser | None = None) -> AuditEntry:
    """Accept the database as it is, after a backup was restored: say why, then move the anchor to its end."""
    try:
        old = audit_anchor.read()
    except audit_anchor.AnchorDamaged:
        old = None
    before = {"seq": old.seq, "mac": old.mac} if old else None
    entry = record(action="audit.reanchor", actor=actor, target="audit", reason=reason, before=before)
    transaction.on_commit(partial(audit_anchor.write, Anchor(entry.seq, entry.mac)))
    return entry


def _line_up() -> tuple[AuditHead, Anchor]:
    """Wait for the turn to write; returns the head and the entry to chain to.

    SQLite has no row locks and needs none: its transactions begin IMMEDIATE. An entry beyond the head was
    not written here; it stays, and ``verify_audit`` names it.
    """
    AuditHead.objects.get_or_create(pk=_HEAD)
    head = AuditHead.objects.select_for_update().get(pk=_HEAD)
    newest = AuditEntry.objects.order_by("-seq").values_list("seq", "mac").first()
    if newest is not None and newest[0] > head.seq:
        return head, Anchor(*newest)
    return head, Anchor(head.seq, head.mac or START)


def _committed(newest: Anchor) -> None:
    """Remember the entry outside the database: in the anchor's file, and in the log that is shipped away."""
    audit_anchor.advance(newest)
    logger.info("audit entry %d %s", newest.seq, newest.mac)


def _clean(text: str, most: int) -> str:
    # Cut before masking too: what somebody sends may be longer than masking is worth.
    return str(redact(text[: 4 * most])).encode("utf-8", "replace").decode()[:most].strip()


def _values(given: Mapping[str, Any] | None) -> str:
    if given is None:
        return ""
    text = _json(given)
    if len(text) <= VALUES_MAX:
        text = _json(redact(dict(given)))
    return text if len(text) <= VALUES_MAX else json.dumps({"dropped": f"{len(text)} characters"})


def _json(given: Mapping[str, Any]) -> str:
    return json.dumps(dict(given), ensure_ascii=True, separators=(",", ":"), default=str)
