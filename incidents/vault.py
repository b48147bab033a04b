"""Secrets of the database at rest: Fernet (AES-128-CBC with HMAC-SHA256), keys derived by HKDF.

``CHANNEL_KEY`` is a list: the first key encrypts, all of them decrypt, so that a key is rotated by putting
the new one first and running ``manage.py rotate_channel_key``. ``SECRET_KEY`` decrypts too, and encrypts
while ``CHANNEL_KEY`` is empty. A backup of the database alone gives no address away.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

_INFO = b"bonghwa.channels.v1"


class Unreadable(Exception):
    """None of the keys opens the secret; it has to be entered again."""


def seal(text: str) -> str:
    """Encrypt ``text`` with the first key."""
    return _box(_keys()).encrypt(text.encode()).decode("ascii")


def unseal(token: str) -> str:
    """Return the text of ``token``.

    Raises:
        Unreadable: it was sealed with a key that is not listed any more, or it was altered.
    """
    try:
        return _box(_keys()).decrypt(token.encode()).decode()
    except InvalidToken as error:
        raise Unreadable("CHANNEL_KEY or SECRET_KEY changed since this was entered") from error


def rotate(token: str) -> str:
    """Encrypt what ``token`` holds again, with the first key.

    Raises:
        Unreadable: see :func:`unseal`.
    """
    return seal(unseal(token))


def digests(text: str) -> list[str]:
    """Return a keyed digest of ``text`` for each key, the first key's first. It tells nothing."""
    return [hmac.new(derive(key, _INFO), text.encode(), hashlib.sha256).hexdigest() for key in _keys()]


def _keys() -> tuple[str, ...]:
    fallbacks = (str(key) for key in settings.SECRET_KEY_FALLBACKS)
    return (*settings.CHANNEL_KEY, settings.SECRET_KEY, *fallbacks)


@lru_cache(maxsize=8)
def _box(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(derive(key, _INFO)) for key in keys])


@lru_cache(maxsize=16)
def derive(key: str, info: bytes) -> bytes:
    """Return 32 bytes derived from ``key`` for the purpose ``info``, as URL-safe base64."""
    raw = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(key.encode())
    return base64.urlsafe_b64encode(raw)
