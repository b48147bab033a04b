"""Vouches for a manifest: HMAC-SHA256 with a key that is in no backup, ``AUDIT_KEY`` or ``SECRET_KEY``."""

from __future__ import annotations

import hashlib
import hmac

from django.conf import settings

from incidents.vault import derive

_INFO = b"bonghwa.backup.v1"


class UnknownKey(Exception):
    """The signing key is none of those listed here."""


def sign(content: bytes) -> dict[str, str]:
    """Return the name of the first key and its code of ``content``. The name tells nothing of the key."""
    name, key = next(iter(_keys().items()))
    return {"key_id": name, "mac": hmac.new(key, content, hashlib.sha256).hexdigest()}


def vouched(content: bytes, signature: dict[str, str]) -> bool:
    """Whether ``signature`` is right for ``content``.

    Raises:
        UnknownKey: the key that signed is not listed.
    """
    key = _keys().get(str(signature.get("key_id", "")))
    if key is None:
        raise UnknownKey
    wanted = hmac.new(key, content, hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted.encode(), str(signature.get("mac", "")).encode())


def _keys() -> dict[str, bytes]:
    fallbacks = (str(key) for key in settings.SECRET_KEY_FALLBACKS)
    keys = (derive(key, _INFO) for key in (*settings.AUDIT_KEY, settings.SECRET_KEY, *fallbacks))
    return {hashlib.sha256(b"id:" + key).hexdigest()[:16]: key for key in keys}
