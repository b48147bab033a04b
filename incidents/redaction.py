"""Masks secrets in what is frozen: by the name of a value, and by the shape of a text. Pure."""

from __future__ import annotations

import re
from typing import Any

MASK = "***"
#: Levels of nesting that are walked; deeper values are replaced.
DEPTH = 20

_NAME = re.compile(
    r"^(?:proxy[-_]?)?authorization$|app_?key|secret|passw(?:or)?d|passwd|^token$|(?:access|refresh|id|auth)_?token"
    r"|passphrase|(?<=\w)pwd$|api[-_]?key|^(?:set-)?cookie$|session_?id|private_?key|acc(?:oun)?t_?(?:no|num)|계좌",
    re.IGNORECASE,
)
_VALUE = r"""["']?\s*[:=]\s*["']?(?:(?:Bearer|Basic)\s+)?"""
_TEXTS = (
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*)?"), MASK),
    (re.compile(r"(?i)\b((?:proxy-)?authorization" + _VALUE + r")[^\s\"',;}]+"), rf"\1{MASK}"),
    (re.compile(r"(?i)\b(bearer\s+)[\w.~+/=-]{8,}"), rf"\1{MASK}"),
    (
        re.compile(
            r"(?i)(?<![\w-])((?:[\w-]*(?:app_?key|secret_?key|secret|api[-_]?key|token|passwd|password|passphrase|(?<=\w)pwd)|set-cookie|cookie)"
            + _VALUE
            + r")[^\s\"',;&}]+"
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"(?i)([a-z][a-z0-9+.-]{0,30}://)[^\s/@]+@"), rf"\1{MASK}@"),
    (re.compile(r"\b\d{8}-\d{2}\b"), MASK),
    (re.compile(r"\b\d{3,6}-\d{2,6}-\d{4,8}\b"), MASK),
    (
        re.compile(
            r"(?i)((?:계좌(?:번호)?|acc(?:oun)?t(?:[ _-]?(?:no|num|number))?)[\"']?\s*[:=#]?\s*[\"']?)"
            r"\d[\d-]{6,}"
        ),
        rf"\1{MASK}",
    ),
    # ANSI sequences and other control characters, which would reach terminals and pages.
    (re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])"), ""),
    (re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"), ""),
)


def _is_value(item: Any) -> bool:
    """Whether something is said: flags, nothing and measured fractions are no secrets."""
    return bool(item) and isinstance(item, str | int | dict | list | tuple) and not isinstance(item, bool)


def redact(value: Any, depth: int = DEPTH) -> Any:
    """Return ``value`` (JSON-like) with secrets masked; names of secrets stay readable."""
    if isinstance(value, str):
        for pattern, mask in _TEXTS:
            value = pattern.sub(mask, value)
        return value
    if depth == 0 and isinstance(value, dict | list | tuple):
        return MASK
    if isinstance(value, dict):
        return {
            redact(str(name)): MASK
            if _is_value(item) and _NAME.search(str(name))
            else redact(item, depth - 1)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [redact(item, depth - 1) for item in value]
    return value
