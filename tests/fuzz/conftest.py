"""Counts the cases of a run."""

from __future__ import annotations

from tests.fuzz.effort import write_counts


def pytest_sessionfinish() -> None:
    """Tell ``make fuzz`` how many there were."""
    write_counts()
