"""One line for each fault, as JSON between processes and as a table for people. Needs no Django."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

INVARIANT = "nothing lost, nothing doubled"
HEAD = ("fault", "lasts s", "invariant", "recovered after s", "promised s", "acknowledged writes", "passes")


@dataclass(slots=True)
class Result:
    """One line of the table."""

    fault: str
    lasts: str
    took: float | None
    promise: float
    written: int = 0
    problems: list[str] = field(default_factory=list)
    invariant: str = INVARIANT

    @property
    def passes(self) -> bool:
        """Whether nothing is wrong and it recovered in time."""
        return not self.problems and self.took is not None

    @property
    def cells(self) -> tuple[str, ...]:
        """The line as words."""
        took = "-" if self.took is None else f"{self.took:.1f}"
        verdict = "yes" if self.passes else "NO: " + "; ".join(self.problems)
        return (
            *(self.fault, self.lasts, self.invariant, took, f"{self.promise:g}"),
            *(str(self.written or "-"), verdict),
        )


def write(path: Path, results: Iterable[Result]) -> None:
    """Append results to a file, one JSON object a line."""
    with path.open("a") as file:
        file.writelines(json.dumps(asdict(result)) + "\n" for result in results)


def read(path: Path) -> list[Result]:
    """Return what :func:`write` wrote."""
    return [Result(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def show(results: Sequence[Result]) -> bool:
    """Print the table; return whether there are lines and every one passes."""
    rows = [HEAD, *(result.cells for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    print()
    for row in rows:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
    good = bool(results) and all(result.passes for result in results)
    print("\nEvery line passes." if good else "\nNot every line passes.")
    return good
