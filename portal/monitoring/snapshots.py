"""Which configuration a service was started with, and what changed between two of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from django.db import transaction
from django.db.models import F

from portal.monitoring.models import ConfigSnapshot, Service

#: Snapshots kept of one service.
KEPT = 50
#: Changes told of two snapshots.
MAX_CHANGES = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One value that differs; ``None`` is absent. Of a list only what came and went is told."""

    path: str
    before: str | None
    after: str | None


def content_hash(config: Mapping[str, Any]) -> str:
    """Return a hash that is the same for the same configuration, whatever the order of its keys."""
    return hashlib.sha256(orjson.dumps(config, option=orjson.OPT_SORT_KEYS)).hexdigest()


def take(service: Service, config: Mapping[str, Any], *, started_at: datetime) -> None:
    """Note that ``service`` was started with ``config``; seeing the same start again changes nothing."""
    digest = content_hash(config)
    with transaction.atomic():
        snapshot, new = ConfigSnapshot.objects.get_or_create(
            service=service,
            content_hash=digest,
            defaults={"config": dict(config), "first_at": started_at, "last_at": started_at},
        )
        if not new:
            later = ConfigSnapshot.objects.filter(pk=snapshot.pk, last_at__lt=started_at)
            later.update(last_at=started_at, starts=F("starts") + 1)
            return
        mine = ConfigSnapshot.objects.filter(service=service)
        oldest = mine.order_by("-last_at", "-pk").values_list("pk", flat=True)[KEPT:]
        ConfigSnapshot.objects.filter(pk__in=list(oldest)).delete()


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Return what differs, by path, at most ``MAX_CHANGES``."""
    return list(_differences(before, after, ""))[:MAX_CHANGES]


def _differences(before: Any, after: Any, path: str) -> Iterator[Change]:
    if isinstance(before, Mapping) or isinstance(after, Mapping):
        old, new = (one if isinstance(one, Mapping) else {} for one in (before, after))
        for key in sorted({*old, *new}):
            yield from _differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(before, list) and isinstance(after, list):
        gone = [one for one in before if one not in after]
        came = [one for one in after if one not in before]
        if gone or came:
            yield Change(path=path, before=_text(gone), after=_text(came))
    elif before != after:
        yield Change(path=path, before=_text(before), after=_text(after))


def _text(value: Any) -> str | None:
    if value is None or value == []:
        return None
    return (", ".join(map(str, value)) if isinstance(value, list) else str(value))[:300]
