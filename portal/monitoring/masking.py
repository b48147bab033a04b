"""Secrets out of text, before anything is stored or shown. Pure; the cost is bounded by the text's length.

By the name in front of a value (``password=``), by the shape that a vendor gives its keys, and by looking
random: a run of 32 characters or more in both cases with digits, as Kiwoom's app and secret keys are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Lines of one PEM block that are masked; a block that never ends cannot hide a log for longer.
MAX_PEM_LINES = 200
PEM = "[pem]"

_KEY = (
    r"(?:authorization|proxy-authorization|cookie|set-cookie|x-api-key|app[-_]?key|api[-_]?key|approval[-_]?key|"
    r"secret[-_]?(?:access[-_]?)?key|client[-_]?secret|access[-_]?token|refresh[-_]?token|id[-_]?token|token|secret|"
    r"passw(?:or)?d|passwd|passphrase|pwd|access[-_]?key(?:[-_]?id)?|account[-_]?key|session[-_]?id|private[-_]?key|"
    r"credentials?|비밀번호|암호|앱\s?키|시크릿\s?키|접근\s?토큰)"
)
_ACCOUNT_KEY = r"(?:account(?:[-_ ]?(?:no|number|num))?|acct(?:[-_]?no)?|acnt(?:[-_]?no)?|계좌(?:\s?번호)?)"


def _random(letters: str, least: int, most: int = 400) -> str:
    """Return the pattern of a run of ``letters`` with both cases and two digits among them."""
    looks = (
        rf"(?=[{letters}]{{{least}}})(?=[A-Z0-9{letters[9:]}]{{0,{most}}}[a-z])"
        rf"(?=[a-z0-9{letters[9:]}]{{0,{most}}}[A-Z])(?=(?:[A-Za-z{letters[9:]}]{{0,{most}}}[0-9]){{2}})"
    )
    return rf"{looks}[{letters}]{{{least},}}={{0,2}}"


_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"-----BEGIN [A-Z0-9 ]{1,40}-----(?:.{0,20000}?-----END [A-Z0-9 ]{1,40}-----|.*)", re.S),
        PEM,
    ),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*)?"), "[jwt]"),
    # Telegram puts a bot's token into the path of every URL.
    (re.compile(r"(?i)(?<![a-z0-9])(bot)?\d{6,12}:[A-Za-z0-9_-]{30,}"), r"\1[secret]"),
    (re.compile(r"(?i)(hooks\.slack\.com/(?:services|workflows)/)[\w/-]+"), r"\1[secret]"),
    (re.compile(r"(?i)(discord(?:app)?\.com/api/webhooks/)[\w/-]+"), r"\1[secret]"),
    (
        re.compile(
            r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bgh[opsur]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}"
            r"|\bglpat-[\w-]{20,}|\bxox[abeoprs]-[\w-]{10,}|\bsk-[\w-]{20,}|\bAIza[\w-]{30,}|\bSG\.[\w-]{16,}\.[\w-]{16,}"
        ),
        "[secret]",
    ),
    (
        re.compile(
            r"(?i)((?:proxy-)?authorization[\"']?\s{0,3}[:=]\s{0,3}[\"']?)(?:(?:bearer|basic|digest|token)\s+)?[^\s\"',;]+"
        ),
        r"\1[secret]",
    ),
    (re.compile(r"(?i)\b((?:set-)?cookie[\"']?\s{0,3}[:=]\s{0,3}[\"']?)[^\r\n\"']+"), r"\1[secret]"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"), r"\1 [secret]"),
    (
        re.compile(
            rf"(?i)({_KEY}\\{{0,3}}[\"']?\s{{0,3}}[:=]\s{{0,3}})(?![\"']?(?:\w{{1,8}} )?\[secret\])"
            r"(\\{1,3}[\"'][^\"'\\]*|\"[^\"]*\"|'[^']*'|(?:(?:bearer|basic)\s{1,3})?[^\s\"',;&)}\]]+)"
        ),
        r"\1[secret]",
    ),
    (
        re.compile(
            r"(?i)((?:^|\s)--?(?:password|passwd|token|secret|api-?key|secret-?key|app-?key)\s{1,3})(?!\[)[^\s-]\S*"
        ),
        r"\1[secret]",
    ),
    (re.compile(r"(?i)([?&](?:key|sig|signature|auth|code|hash)=)[^&\s\"']{6,}"), r"\1[secret]"),
    # Up to the last @ of the authority: a password may hold one.
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]{1,20}://)[^\s/?#]{1,400}@"), r"\1[secret]@"),
    (re.compile(rf"(?<![\w+-]){_random('A-Za-z0-9_+-', 32)}(?![\w+-])"), "[secret]"),
    # Base64 with slashes only as a word of its own: within a longer text it may be a path.
    (re.compile(rf"(?<!\S){_random('A-Za-z0-9+/', 48)}(?!\S)"), "[secret]"),
    (
        re.compile(rf"(?i)({_ACCOUNT_KEY}[\"']?\s{{0,3}}[:=]?\s{{0,3}}[\"']?)\d[\d-]{{5,18}}\d"),
        r"\1[account]",
    ),
    (re.compile(r"(?<![\d.-])(?:\d{8}-\d{2}|\d{3}-\d{2}-\d{6}|\d{4}-\d{4})(?![\d-])"), "[account]"),
    (re.compile(r"(?<![\d.])(?!1[6-9]\d{8})\d{10}(?![\d.])"), "[account]"),
)


def mask_secrets(text: str) -> str:
    """Replace tokens, keys, passwords and account numbers; what is masked already stays."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def without_pem(lines: Iterable[str], *, inside: int = 0) -> tuple[list[str], int]:
    """Replace the lines of PEM blocks, each of which is a line of its own in a log.

    ``inside`` is what an earlier call returned for the lines before these: the lines of an open block so far.
    """
    kept: list[str] = []
    for line in lines:
        if inside:
            inside = 0 if "-----END " in line or inside >= MAX_PEM_LINES else inside + 1
            kept.append(PEM)
            continue
        kept.append(line)
        if "-----BEGIN " in line and "-----END " not in line:
            inside = 1
    return kept, inside
