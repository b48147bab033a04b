"""Korean and English side by side for the draft, and numbers as the seed report prints them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from incidents.reports.layout import NO_DATA

MIB, GIB = 1024**2, 1024**3


@dataclass(frozen=True, slots=True)
class Words:
    """Picks the language. Call it with the Korean and the English text and the values of both."""

    language: str

    def __call__(self, korean: str, english: str, **values: Any) -> str:
        """Return the text of the language with ``{name}`` filled in."""
        return (korean if self.language == "ko" else english).format(**values)

    def pick(self, korean: str, english: str) -> str:
        """Return the text of the language as it stands, braces and all."""
        return korean if self.language == "ko" else english

    @property
    def no_data(self) -> str:
        """The words for a value that nobody measured."""
        return NO_DATA[self.language]

    def percent(self, value: float | None) -> str:
        """Print percent with two places: ``102.80%``."""
        return self.no_data if value is None else f"{value:.2f}%"

    def size(self, value: float | None) -> str:
        """Print bytes, in powers of 1024: ``10.23 GB``, ``257 MB``; 1024 of a unit is 1 of the next."""
        if value is None:
            return self.no_data
        if round(value / MIB) >= 1024:
            return f"{value / GIB:.2f} GB"
        if round(value / 1024) >= 1024:
            return f"{value / MIB:.0f} MB"
        return f"{value / 1024:.0f} KB" if value >= 1024 or not value else f"{value:.0f} B"

    def span(self, seconds: float) -> str:
        """Print a duration in its two largest units: ``3시간 18분``; one before zero is none."""
        whole = max(0, round(seconds))
        units = [(86400, "일", "d"), (3600, "시간", "h"), (60, "분", "min"), (1, "초", "s")]
        parts = []
        for size, korean, english in units:
            count, whole = divmod(whole, size)
            if count:
                parts.append(self(f"{count}{korean}", f"{count} {english}"))
        return " ".join(parts[:2]) or self("0초", "0 s")

    def rate(self, value: float | None, *, at_least: bool = False) -> str:
        """Print log lines a second; ``at_least`` marks a lower bound."""
        if value is None:
            return self.no_data
        mark = "≥" if at_least else ""
        digits = 0 if value >= 10 else 1
        return self("초당 {m}{v:,.{d}f}줄", "{m}{v:,.{d}f} lines/s", m=mark, v=value, d=digits)


def fenced(text: str, info: str = "") -> str:
    """Return ``text`` as a code block that its own backticks cannot end."""
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{info}\n{text}\n{fence}"


def code(text: str) -> str:
    """Return ``text`` as inline code."""
    return f"`{' '.join(text.split()).replace('`', chr(39))}`"


def plain(text: str) -> str:
    """Return measured ``text`` so that it stays text where Markdown allows HTML, links and emphasis."""
    return re.sub(r"([\\`*<\[\]])", r"\\\1", text)


def cut(text: str, limit: int = 200) -> str:
    """Return one line of at most ``limit`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
