"""What was expected of the demonstration and what was seen."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Outcome:
    """What is judged at the end."""

    rows: list[tuple[bool, str, str]] = field(default_factory=list)

    def expect(self, met: bool, what: str, seen: str) -> None:
        """Add one expectation with what was seen."""
        self.rows.append((met, what, seen))

    @property
    def good(self) -> bool:
        """Whether every expectation was met."""
        return all(met for met, _, _ in self.rows)

    def table(self) -> str:
        """Return the result table."""
        width = max(len(what) for _, what, _ in self.rows)
        return "\n".join(
            f"{'ok  ' if met else 'FAIL'}  {what:<{width}}  {seen}" for met, what, seen in self.rows
        )
