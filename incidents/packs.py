"""Item packs: the same measures for many services, each put on the checklist once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from incidents.checklist import due_for
from incidents.models import ChecklistItem, ItemPack

#: Services that a pack is applied to at once.
MAX_SERVICES = 200


@dataclass(frozen=True, slots=True)
class Applied:
    """The measures that a pack made, and how many were there already."""

    made: tuple[ChecklistItem, ...]
    known: int


@transaction.atomic
def apply(
    *, pack: ItemPack, services: Sequence[str], today: date, owner: AbstractBaseUser | None = None
) -> Applied:
    """Put every measure of ``pack`` on the checklist for each of ``services``; applying again adds nothing.

    Raises:
        ValueError: more than :data:`MAX_SERVICES` services.
    """
    names = list(dict.fromkeys(services))
    if len(names) > MAX_SERVICES:
        raise ValueError(f"a pack is applied to at most {MAX_SERVICES} services at once")
    made, known = [], 0
    for measure in pack.items.all():
        for name in names:
            item, is_new = ChecklistItem.objects.get_or_create(
                report=None,
                draft_key=_key(measure.pk, name),
                defaults={
                    "order": measure.order,
                    "text": measure.text,
                    "priority": measure.priority,
                    "due": due_for(measure.priority, today),
                    "verifier": measure.verifier,
                    "parameters": measure.parameters,
                    "target": name[:200],
                    "owner_id": None if owner is None else owner.pk,
                },
            )
            if is_new:
                made.append(item)
            else:
                known += 1
    return Applied(tuple(made), known)


def _key(measure: int, service: str) -> str:
    key = f"pack:{measure}:{service}"
    return key if len(key) <= 100 else f"pack:{measure}:{hashlib.sha256(service.encode()).hexdigest()[:40]}"
