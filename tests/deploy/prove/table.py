"""What was promised and what was seen, one line each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

HEAD = ("part", "what", "promised", "seen", "ok")


@dataclass(frozen=True, slots=True)
class Line:
    """One line; ``holds`` is None for a figure that promises nothing."""

    part: str
    what: str
    seen: str
    promised: str = ""
    holds: bool | None = None

    @property
    def cells(self) -> tuple[str, ...]:
        """The line as words."""
        verdict = {None: "", True: "yes", False: "NO"}[self.holds]
        return self.part, self.what, self.promised or "-", self.seen, verdict


def show(lines: Sequence[Line]) -> bool:
    """Print the table; return whether something was promised and every promise was kept."""
    rows = [HEAD, *(line.cells for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    print()
    for row in rows:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
    judged = [line.holds for line in lines if line.holds is not None]
    good = bool(judged) and all(judged)
    print("\nEvery line is ok." if good else "\nNot every line is ok.", flush=True)
    return good
