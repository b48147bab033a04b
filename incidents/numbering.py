"""New incidents get the next free number and a slug for their files."""

from __future__ import annotations

from typing import Any

from django.db.models import Max
from django.utils.text import slugify

from incidents.models import Incident


def create_incident(**fields: Any) -> Incident:
    """Insert an incident under the next free number. Call it inside ``atomic``.

    Raises:
        IntegrityError: another worker took the number or the fingerprint; call again.
    """
    last = Incident.objects.aggregate(last=Max("number"))["last"] or 0
    slug = slugify(fields["title"].partition("(")[0], allow_unicode=True)[:80] or "incident"
    return Incident.objects.create(number=last + 1, slug=slug, **fields)
