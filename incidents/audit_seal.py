"""The code of an audit entry: HMAC-SHA256 over all of its columns, with a key that is not in the database.

``AUDIT_KEY`` is a list: the first key signs, all of them verify, so that a key is rotated by putting the new
one first. ``SECRET_KEY`` verifies too, and signs while ``AUDIT_KEY`` is empty.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC
from functools import lru_cache

from django.conf import settings

from incidents.models import AuditEntry
from incidents.vault import derive

_INFO = b"bonghwa.audit.v1"
#: The code that the first entry is chained to.
START = "0" * 64


def signing_key() -> str:
    """Return the name of the key that signs now: a digest that does not tell the key."""
    return next(iter(_keys()))


def code(entry: AuditEntry, *, seq: int | None = None) -> str | None:
    """Return the code of ``entry`` as if its number were ``seq``; None when its key is not listed."""
    key = _keys().get(entry.key_id)
    if key is None:
        return None
    fields = [
        entry.seq if seq is None else seq,
        entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        *(entry.actor_id, entry.actor_name, entry.action, entry.target, entry.reason),
        *(entry.before_json, entry.after_json, entry.key_id, entry.previous),
    ]
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    return hmac.new(key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def genuine(entry: AuditEntry, *, seq: int | None = None) -> bool:
    """Whether the code stored with ``entry`` is right for it (under number ``seq``)."""
    wanted = code(entry, seq=seq)
    return wanted is not None and hmac.compare_digest(wanted.encode(), entry.mac.encode("utf-8", "replace"))


def _keys() -> dict[str, bytes]:
    fallbacks = (str(key) for key in settings.SECRET_KEY_FALLBACKS)
    return _derived((*settings.AUDIT_KEY, settings.SECRET_KEY, *fallbacks))


@lru_cache(maxsize=8)
def _derived(given: tuple[str, ...]) -> dict[str, bytes]:
    keys = (derive(key, _INFO) for key in given)
    return {hashlib.sha256(b"id:" + key).hexdigest()[:16]: key for key in keys}
