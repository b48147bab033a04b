"""Makes text of watched systems harmless in a message, on channels that read Markdown, HTML or neither. Pure.

Channels differ in what they interpret and Apprise escapes only the format that it knows of, so the
characters that start markup, a mention or a link are replaced by look-alikes: what was logged stays
readable, and nothing of it acts.
"""

from __future__ import annotations

import re
import unicodedata

from incidents.redaction import redact

_LOOK_ALIKES = str.maketrans(
    {
        "<": "‹",
        ">": "›",
        "[": "［",
        "]": "］",
        "`": "ˋ",
        "*": "∗",
        "~": "∼",
        "|": "¦",
        "@": "＠",
        "&": "＆",
        "\\": "＼",
        "#": "＃",
    }
)
_SPACE = re.compile(r"\s+")
_SCHEME = re.compile(r"(?i)\bhttp(s?)://")
_WWW = re.compile(r"(?i)\bwww\.")


def one_line(text: str, limit: int) -> str:
    """Return ``text`` masked, without control characters, as one line of at most ``limit`` characters."""
    masked = redact(text[: 4 * limit])
    plain = "".join(" " if unicodedata.category(one).startswith("C") else one for one in masked)
    plain = _SPACE.sub(" ", plain).strip()
    return plain if len(plain) <= limit else plain[: limit - 1].rstrip() + "…"


def inert(text: str, limit: int = 200) -> str:
    """Return ``text`` as :func:`one_line` does, with markup, mentions and links made harmless."""
    plain = one_line(text, limit).translate(_LOOK_ALIKES)
    plain = _SCHEME.sub(r"hxxp\1://", plain)
    return _WWW.sub("www．", plain)
