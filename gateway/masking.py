"""Secrets out of texts that people read. Pure."""

from __future__ import annotations

from collections.abc import Iterable

#: The first characters of a secret that are masked like the whole.
LEAST_SECRET = 12


def mask(text: str, secrets: Iterable[str]) -> str:
    """Return ``text`` on one line without ``secrets``, even where its length cut one off."""
    for secret in secrets:
        for length in range(len(secret), min(len(secret), LEAST_SECRET) - 1, -1):
            if length:
                text = text.replace(secret[:length], "***")
    return " ".join(text.split())
