"""The channels that there are: rows of the admin, and the entries of ``NOTIFY_URLS`` as rows of their own."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache

from django.conf import settings

from incidents import addresses, vault
from incidents.models import Channel, ChannelKind
from incidents.texts import site_language

logger = logging.getLogger(__name__)


def sync_environment(urls: Sequence[str]) -> dict[str, str]:
    """Make a row for each entry of ``NOTIFY_URLS`` and switch off those that left; return urls by digest.

    An entry that Apprise does not understand is named by its position in the log, once.
    """
    rows = {row.digest: row for row in Channel.objects.filter(kind=ChannelKind.ENVIRONMENT)}
    present: dict[str, str] = {}
    for position, url in enumerate((url.strip() for url in urls), 1):
        if not url:
            continue
        digests = vault.digests(url)
        row = next((rows[one] for one in digests if one in rows), None)
        if row is None:
            server = addresses.instantiate(url)
            if server is None:
                _complain(position, digests[0])
                continue
            row = _create(digests[0], f"{server.service_name} #{position}", addresses.scheme_of(url))
        if not row.enabled:
            row.enabled = True
            row.save(update_fields=["enabled"])
        present[row.digest] = url
    for digest, row in rows.items():
        if row.enabled and digest not in present:
            row.enabled = False
            row.save(update_fields=["enabled"])
    return present


def rename_environment(urls: Sequence[str]) -> None:
    """Name the rows of ``urls`` by the first key, before an older one that named them is dropped.

    Without this they would be made anew, and what an administrator set for them would be lost.
    """
    rows = Channel.objects.filter(kind=ChannelKind.ENVIRONMENT)
    for url in filter(None, (given.strip() for given in urls)):
        first, *older = vault.digests(url)
        row = rows.filter(digest__in=older).order_by("-enabled", "pk").first()
        if row is not None and not rows.filter(digest=first).exists():
            rows.filter(pk=row.pk).update(digest=first)


def enabled() -> list[Channel]:
    """Return the channels that messages go to, in their order."""
    return list(Channel.objects.filter(enabled=True))


def is_any_set() -> bool:
    """Whether somebody is told: at most one query, none while ``NOTIFY_URLS`` is set."""
    return bool(settings.NOTIFY_URLS) or Channel.objects.filter(enabled=True).exists()


def _create(digest: str, name: str, scheme: str) -> Channel:
    defaults: Mapping[str, object] = {
        "kind": ChannelKind.ENVIRONMENT,
        "name": name[:80],
        "shown_address": f"{scheme}://…",
        "language": site_language(),
        "per_hour": settings.NOTIFY_POLICY.per_hour,
    }
    row, _created = Channel.objects.get_or_create(digest=digest, defaults=defaults)
    return row


@lru_cache(maxsize=64)
def _complain(position: int, digest: str) -> None:
    logger.error("NOTIFY_URLS: address %d is not understood", position)
