"""Optional components: skipped with the reason where they are missing, required in CI."""

from __future__ import annotations

import os

import pytest

IN_CI = os.environ.get("CI") == "true"


def require(found: object, what: str) -> None:
    """Skip the test when an optional component is missing; in CI that is a failure.

    Raises:
        pytest.fail.Exception: the component is missing and ``CI=true``.
        pytest.skip.Exception: it is missing elsewhere.
    """
    if found:
        return
    if IN_CI:
        pytest.fail(f"{what} is required in CI")
    pytest.skip(f"{what} not found")
