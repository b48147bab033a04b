"""Logging set-up."""

from __future__ import annotations

from typing import Any


def configure(options: dict[str, Any]) -> None:
    """Configure logging."""
