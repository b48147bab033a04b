"""Markdown of a report, both ways. ``render(parse(text).document)`` is a fixed point."""

from __future__ import annotations

from incidents.reports.parser import parse
from incidents.reports.renderer import render

__all__ = ["parse", "render"]
