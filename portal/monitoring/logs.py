"""Log lines made safe and countable: control characters stripped, secrets masked, templates counted.

Pure. A template is the line with times, ids and numbers replaced, by fixed patterns rather than a learning
parser (drain3 was weighed): the same line gives the same template in every sweep and worker, no model has to
be kept, and the cost of a hostile line is bounded by its length.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from portal.monitoring.masking import mask_secrets as mask_secrets
from portal.monitoring.masking import without_pem

#: Characters of a template or sample that are kept.
MAX_TEMPLATE = 500
#: Distinct line shapes that are masked in one window; more go to the remainder.
MAX_SHAPES = 1_000
#: Characters of all those shapes together, since masking costs up to 10 µs for each of a hostile line.
MAX_SHAPE_CHARS = 200_000
#: Characters of a line that are looked at.
MAX_LINE = 2_000

_ANSI = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # control sequences
    r"|\x1b\][^\x07\x1b]{0,500}(?:\x07|\x1b\\)?"  # operating system commands such as a window title
    r"|\x1b[PX^_][^\x1b]{0,500}(?:\x1b\\)?"
    r"|\x1b[ -/]*[0-~]?"
)
#: Control characters, and the marks that reorder or hide text on a page.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufffe\uffff]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")

_TEMPLATE: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(
            r"\b\d{4}[-/]\d\d[-/]\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?(?:\s?(?:Z\b|[+-]\d\d:?\d\d))?)?"
        ),
        "<time>",
    ),
    (re.compile(r"\b\d{1,2}:\d\d:\d\d(?:[.,]\d+)?\b"), "<time>"),
    (re.compile(r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"), "<id>"),
    (re.compile(r"\b0x[0-9a-fA-F]+\b"), "<hex>"),
    (re.compile(r"\b(?=[0-9a-fA-F]*\d)(?=[0-9a-fA-F]*[a-fA-F])[0-9a-fA-F]{8,}\b"), "<hex>"),
    (re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?::\d{1,5})?(?![\w.])"), "<addr>"),
    (re.compile(r"[-+]?\d+(?:[.,]\d+)*"), "<n>"),
)
_DIGITS = str.maketrans("0123456789", "0" * 10)


@dataclass(frozen=True, slots=True)
class TemplateCount:
    """One template with its number of lines; ``sample`` is a masked line of it."""

    template: str
    count: int
    sample: str

    @property
    def fingerprint(self) -> str:
        """Stable key of the template."""
        return hashlib.sha256(self.template.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class LogSummary:
    """Lines of one window by template, most frequent first; ``lines`` counts all of them."""

    lines: int
    templates: tuple[TemplateCount, ...]


def clean(text: str) -> str:
    """Return ``text`` without escape sequences, control characters and lone surrogates."""
    text = _SURROGATE.sub("\ufffd", text)
    return _CONTROL.sub("", _ANSI.sub("", text)) if not text.isascii() or not text.isprintable() else text


def safe_line(text: str) -> str:
    """Return one line ready for storage: cut, cleaned and masked."""
    return mask_secrets(clean(text[:MAX_LINE])).strip()


def safe_lines(lines: Iterable[str], *, inside: int = 0) -> tuple[list[str], int]:
    """Return lines ready for storage or a page, PEM blocks over several lines masked too.

    ``inside`` carries an open block from call to call, see :func:`without_pem`.
    """
    plain, inside = without_pem((line[:MAX_LINE] for line in lines), inside=inside)
    return [safe_line(line) for line in plain], inside


def template_of(line: str) -> str:
    """Return the template of a line that :func:`safe_line` made safe."""
    for pattern, replacement in _TEMPLATE:
        line = pattern.sub(replacement, line)
    return " ".join(line.split())[:MAX_TEMPLATE]


def summarise(lines: Iterable[str], *, top: int = 20) -> LogSummary:
    """Count ``lines`` by template and keep the ``top`` most frequent.

    Lines that differ in digits only are masked once, which keeps a flood cheap.
    """
    shapes: Counter[str] = Counter()
    samples: dict[str, str] = {}
    total = size = 0
    plain, _inside = without_pem(line[:MAX_LINE] for line in lines)
    for line in plain:
        if not line.strip():
            continue
        total += 1
        shape = line.translate(_DIGITS)
        if shape not in shapes:
            if len(shapes) >= MAX_SHAPES or size + len(shape) > MAX_SHAPE_CHARS:
                continue
            size += len(shape)
        shapes[shape] += 1
        samples[shape] = line
    counts: Counter[str] = Counter()
    shown: dict[str, str] = {}
    for shape, count in shapes.items():
        safe = safe_line(samples[shape])
        template = template_of(safe)
        if template:
            counts[template] += count
            shown[template] = safe[:MAX_TEMPLATE]
    return LogSummary(
        lines=total,
        templates=tuple(TemplateCount(name, count, shown[name]) for name, count in counts.most_common(top)),
    )
