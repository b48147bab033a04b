"""Writes the messages of an incident into the outbox. Nothing here sends: ``incidents.notifications`` does.

Every message is unique by incident, kind, occurrence and sequence, so that two workers that think of the
same one write it once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from incidents import texts
from incidents.models import Incident, Notification, NotificationKind
from incidents.models.notification import DeliveryState
from incidents.texts import describe, link

__all__ = ["FREEZE_GRACE", "announce", "describe", "link", "release", "write"]

#: An opening message waits this long for the freeze to add what it measured; then it goes as it is.
FREEZE_GRACE = timedelta(seconds=20)


def announce(*, incident: Incident, kind: NotificationKind, at: datetime) -> Notification:
    """Put the message of this occurrence into the outbox; a second call for it changes nothing."""
    wait = FREEZE_GRACE if kind is NotificationKind.OPENED else timedelta()
    return write(incident, kind, at, wait=wait)


def release(
    *,
    incident: Incident,
    at: datetime,
    findings: Mapping[str, Sequence[str]] | None = None,
    lines: Sequence[str] = (),
) -> None:
    """Let the waiting opening message go now, with what the freeze found; one already routed stays.

    ``findings`` are lines by language, ``lines`` the last lines of evidence.
    """
    content = texts.compose(
        incident=incident,
        kind=NotificationKind.OPENED,
        at=at,
        lines=lines,
        findings=findings,
    )
    subject, body = content[texts.site_language()]
    Notification.objects.filter(
        incident=incident,
        kind=NotificationKind.OPENED,
        occurrence=incident.reopened,
        state=DeliveryState.PENDING,
        routed_at=None,
    ).update(subject=subject, body=body, content=content, next_attempt_at=at)


def write(
    incident: Incident,
    kind: NotificationKind,
    at: datetime,
    *,
    wait: timedelta = timedelta(),
    sequence: int = 0,
    lines: Sequence[str] = (),
    before: Notification | None = None,
) -> Notification:
    """Write one message; the one that is there already is returned as it is.

    ``before`` is the message whose facts the readers know.
    """
    told = before.content.get("facts", {}) if before else {}
    content = texts.compose(incident=incident, kind=kind, at=at, lines=lines, sequence=sequence, told=told)
    subject, body = content[texts.site_language()]
    message, _created = Notification.objects.get_or_create(
        incident=incident,
        kind=kind,
        occurrence=incident.reopened,
        sequence=sequence,
        defaults={
            "subject": subject,
            "body": body,
            "content": content,
            "created_at": at,
            "next_attempt_at": at + wait,
        },
    )
    return message
