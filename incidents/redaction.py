"""Masks secrets in what is frozen: by the name of a value, and by the shape of a text. Pure."""

from __future__ import annotations

import re
from typing import Any

MASK = "***"
#: Levels of nesting that are walked; deeper values are replaced.
DEPTH = 20

_NAME = re.compile(
    r"^(?:proxy[-_]?)?authorization$|app_?key|secret|passw(?:or)?d|passwd|^token$|(?:access|refresh|id|auth)_?token"
    r"|passphrase|(?<=\w)pwd$|api[-_]?key|^(?:set-)?cookie$|session_?id|private_?key|(?:acc(?:oun)?t|acnt)_?(?:no|num)"
    r"|^cano$|계좌",
    re.IGNORECASE,
)
_KEY = (
    r"(?:app[-_]?key|api[-_]?key|secret[-_]?(?:access[-_]?)?key|access[-_]?key(?:[-_]?id)?|private[-_]?key|secret"
    r"|token|passw(?:or)?d|passwd|passphrase|(?<=_)(?:pass|pwd)|(?<=pg)pwd|session[-_]?id)"
)
#: Backslashes, since JSON is often logged inside of JSON. Every run is bounded: a line must not cost more
#: than in proportion to its length.
_SEPARATOR = r"\\{0,7}[\"']?\s{0,9}[:=]\s{0,9}"
_OPENING = r"(?:\\{0,7}[\"'])?(?:(?:Bearer|Basic|Token|ApiKey|Negotiate)\s{1,9})?"
_ACCOUNT = r"(?:계좌(?:번호)?|(?:acc(?:oun)?t|acnt)(?:[ _-]?(?:no|num|number))?|\bcano)"
#: ANSI sequences and other control and invisible characters: they would reach terminals and pages, and they
#: go first, because a colour between a name and its value would hide the value from the patterns.
_INVISIBLE = (
    re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])"),
    re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]"),
)
_TEXTS = (
    (
        re.compile(
            r"-----BEGIN [A-Z0-9 ]{1,40}-----(?:.{0,20000}?-----END [A-Z0-9 ]{1,40}-----|.*)", re.DOTALL
        ),
        MASK,
    ),
    # A JWT, or any JSON object in Base64.
    (re.compile(r"(?<![\w-])eyJ[\w-]{8,}+(?:[.+/=][\w-]*+)*+"), MASK),
    (re.compile(r"(?i)\b(digest[ \t]{1,9})(?=\w{1,20}=)[^\r\n]+"), rf"\1{MASK}"),
    (
        re.compile(rf"(?i)\b((?:proxy-)?authorization{_SEPARATOR}{_OPENING})(?!digest\s)[^\s\"',;}}\\]+"),
        rf"\1{MASK}",
    ),
    (re.compile(rf"(?i)\b((?:set-)?cookie{_SEPARATOR}(?:\\{{0,7}}[\"'])?)[^\r\n\"'\\]+"), rf"\1{MASK}"),
    (re.compile(r"(?i)\b(bearer\s{1,9})[\w.~+/=-]{8,}"), rf"\1{MASK}"),
    (re.compile(r"\b((?i:basic)\s{1,9})(?=[a-z+/]{0,400}[A-Z0-9=])[A-Za-z0-9+/]{8,}={0,2}"), rf"\1{MASK}"),
    (
        re.compile(
            rf"(?i)({_KEY}{_SEPARATOR})(?:(\\{{0,7}}\")[^\"\\\r\n]+|(\\{{0,7}}')[^'\\\r\n]+|({_OPENING})[^\s\"',;&}}\\]+)"
        ),
        rf"\1\2\3\4{MASK}",
    ),
    (
        re.compile(rf"(?i)((?<!\S)--?{_KEY}\s{{1,3}})[^\s-]\S*"),
        rf"\1{MASK}",
    ),
    (re.compile(r"((?<!\S)(?:-u|--user)\s{1,3})(?!\d{1,9}:\d)[^\s:]{1,100}:\S+"), rf"\1{MASK}"),
    (re.compile(r"(?i)(?<![a-z0-9])(bot)?\d{6,12}:[\w-]{30,}"), rf"\1{MASK}"),
    (
        re.compile(
            r"\b(?:(?:AKIA|ASIA)[A-Z0-9]{16}\b|gh[opsur]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}"
            r"|xox[abeoprs]-[\w-]{10,}|AIza[\w-]{30,})"
        ),
        MASK,
    ),
    (re.compile(r"(?i)(hooks\.slack\.com/(?:services|workflows)/)[\w/-]+"), rf"\1{MASK}"),
    # Up to the last @: a password may hold one, and a slash that nobody escaped; what follows a port may not.
    (re.compile(r"(?<=[A-Za-z0-9+.-]://)[^\s/?#]{1,400}@"), f"{MASK}@"),
    (re.compile(r"(?<=[A-Za-z0-9+.-]://)[^\s/?#@:]{0,100}:(?!\d{1,5}/)[^\s@]{1,200}@"), f"{MASK}@"),
    (re.compile(r"\b\d{8}-\d{2}\b"), MASK),
    (re.compile(r"\b\d{3,6}-\d{2,6}-\d{4,8}\b"), MASK),
    (
        re.compile(rf"(?i)({_ACCOUNT}\\{{0,7}}[\"']?\s{{0,9}}[:=#]?\s{{0,9}}\\{{0,7}}[\"']?)\d[\d-]{{6,}}"),
        rf"\1{MASK}",
    ),
)


def _is_value(item: Any) -> bool:
    """Whether something is said: flags, nothing and measured fractions are no secrets."""
    return bool(item) and isinstance(item, str | int | dict | list | tuple) and not isinstance(item, bool)


def redact(value: Any, depth: int = DEPTH) -> Any:
    """Return ``value`` (JSON-like) with secrets masked; names of secrets stay readable."""
    if isinstance(value, str):
        for pattern in _INVISIBLE:
            value = pattern.sub("", value)
        for pattern, mask in _TEXTS:
            value = pattern.sub(mask, value)
        return value
    if depth == 0 and isinstance(value, dict | list | tuple):
        return MASK
    if isinstance(value, dict):
        return {redact(str(name)): _named(str(name), item, depth - 1) for name, item in value.items()}
    if isinstance(value, list | tuple):
        if len(value) == 2 and all(isinstance(one, str) for one in value):
            # A header as a pair of its name and its value.
            return [redact(value[0]), _named(value[0], value[1], depth - 1)]
        return [redact(item, depth - 1) for item in value]
    return value


def _named(name: str, item: Any, depth: int) -> Any:
    """Mask ``item``, whatever it holds, when ``name`` is that of a secret; flags and nothing are none."""
    said = bool(item) and isinstance(item, str | int | dict | list | tuple) and not isinstance(item, bool)
    return MASK if said and _NAME.search(name) else redact(item, depth)
