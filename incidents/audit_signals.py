"""What is audited wherever it is done: who came and went, what the admin logged, what alerts opened.

An incident's events are recorded right after their transaction: one that holds several incidents must not
also stand in the audit's line. What people do to an incident or a measure is recorded where it is done.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from threading import Lock
from typing import Any

from axes.helpers import get_client_ip_address
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.auth.models import AbstractBaseUser
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.core.exceptions import ObjectDoesNotExist
from django.db import transaction
from django.db.models import Model
from django.db.models.signals import post_save
from django.http import HttpRequest
from django.utils import timezone

from incidents import audit
from incidents.models import AuditEntry, TimelineEvent, TimelineKind
from incidents.redaction import MASK

logger = logging.getLogger(__name__)

SIGNED_IN, SIGNED_OUT, FAILED = "auth.sign_in", "auth.sign_out", "auth.sign_in_failed"
_VERBS = {ADDITION: "admin.add", CHANGE: "admin.change", DELETION: "admin.delete"}
#: Events of an incident that are Bonghwa's own deeds, and notes.
_DEEDS = {
    TimelineKind.OPENED: "incident.open",
    TimelineKind.REOPENED: "incident.reopen",
    TimelineKind.NOTE: "incident.note",
}
#: Failed sign-ins recorded in a minute; the next one recorded says how many were left out.
FAILED_PER_MINUTE = 60
#: Words in the name of a field whose value is never copied.
_SECRET = ("password", "address", "secret", "token", "digest", "hash", "key")


def connect() -> None:
    """Listen; calling it again changes nothing."""
    user_logged_in.connect(_signed_in, dispatch_uid="audit.signed_in")
    user_logged_out.connect(_signed_out, dispatch_uid="audit.signed_out")
    user_login_failed.connect(_failed, dispatch_uid="audit.failed")
    post_save.connect(_changed, sender=LogEntry, dispatch_uid="audit.changed")
    post_save.connect(_happened, sender=TimelineEvent, dispatch_uid="audit.happened")


def _signed_in(request: HttpRequest | None, user: AbstractBaseUser, **_signal: Any) -> None:
    audit.record(action=SIGNED_IN, actor=user, target=user.get_username(), after=_source(request))


def _signed_out(request: HttpRequest | None, user: AbstractBaseUser | None, **_signal: Any) -> None:
    if user is not None:
        audit.record(action=SIGNED_OUT, actor=user, target=user.get_username(), after=_source(request))


class _LeftOut:
    """How many failed sign-ins this process did not record."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._count = 0

    def add(self) -> None:
        with self._lock:
            self._count += 1

    def take(self) -> int:
        with self._lock:
            count, self._count = self._count, 0
        return count


_left_out = _LeftOut()


def _failed(credentials: Mapping[str, Any], request: HttpRequest | None = None, **_signal: Any) -> None:
    """Record the name that was tried. Somebody who guesses passwords must not fill the table."""
    minute_ago = timezone.now() - timedelta(minutes=1)
    if AuditEntry.objects.filter(action=FAILED, at__gte=minute_ago).count() >= FAILED_PER_MINUTE:
        _left_out.add()
        return
    skipped = _left_out.take()
    after = {**_source(request), **({"left_out": skipped} if skipped else {})}
    audit.record(action=FAILED, actor=None, target=str(credentials.get("username", ""))[:150], after=after)


def _source(request: HttpRequest | None) -> dict[str, Any]:
    return {"address": str(get_client_ip_address(request) or "")} if request is not None else {}


def _changed(instance: LogEntry, created: bool, raw: bool = False, **_signal: Any) -> None:
    if created and not raw:
        logged(instance)


def logged(entry: LogEntry) -> None:
    """Record what the admin logged, with the values before and after where the row has a history."""
    before, after = _values(entry) if entry.action_flag == CHANGE else (None, None)
    said = _message(entry)
    audit.record(
        action=_VERBS.get(entry.action_flag, "admin.other"),
        actor=entry.user,
        target=_target(entry.content_type.model if entry.content_type else "", entry),
        before=before,
        after={**(after or {}), **({"log": said} if said else {})} or None,
    )


def _target(model: str, entry: LogEntry) -> str:
    return f"{model} {entry.object_id}: {entry.object_repr}"


def _message(entry: LogEntry) -> Any:
    try:
        return json.loads(entry.change_message) if entry.change_message else None
    except ValueError:
        return entry.change_message


def _values(entry: LogEntry) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return what the row's two newest versions differ in; nothing without a history."""
    try:
        row = entry.get_edited_object()
        history = getattr(row, "history", None)
        if not isinstance(row, Model) or history is None:
            return None, None
        newest, *older = history.all()[:2]
        if not older:
            return None, None
        changes = newest.diff_against(older[0], foreign_keys_are_objs=False).changes
    except (ObjectDoesNotExist, AttributeError, ValueError) as error:
        logger.info("no values of %s for the audit: %s", entry.object_repr, type(error).__name__)
        return None, None
    return (
        {one.field: _shown(one.field, one.old) for one in changes},
        {one.field: _shown(one.field, one.new) for one in changes},
    )


def _shown(field: str, value: Any) -> Any:
    return MASK if value and any(word in field for word in _SECRET) else value


def _happened(instance: TimelineEvent, created: bool, raw: bool = False, **_signal: Any) -> None:
    action = _DEEDS.get(TimelineKind(instance.kind))
    by_hand = instance.actor_id is not None and instance.kind == TimelineKind.REOPENED
    if action is None or by_hand or not created or raw:
        return
    data = instance.data if isinstance(instance.data, dict) else {}
    entry = partial(
        audit.record,
        action=action,
        actor=instance.actor,
        target=f"INC-{instance.incident.number}",
        reason=instance.text or str(data.get("title") or ""),
        at=instance.at,
    )
    transaction.on_commit(entry, robust=True)
