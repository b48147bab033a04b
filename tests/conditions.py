"""Waiting for a condition instead of for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], timeout: float = 10.0, what: str = "", every: float = 0.05) -> T:
    """Return the first true value of ``condition``, asked each ``every`` seconds.

    Raises:
        AssertionError: it stayed false for ``timeout`` seconds; ``what`` names it, the last value is shown.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {timeout:g} s: {what or condition} (last: {value!r})")
        time.sleep(every)
