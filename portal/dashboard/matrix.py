"""Endpoints as lines: one purpose of a service with a column for each vantage. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from portal.dashboard.data import Level
from portal.monitoring.models import Endpoint, Service, Vantage


@dataclass(frozen=True, slots=True)
class Cell:
    """One endpoint in its place."""

    endpoint: Endpoint
    level: Level


@dataclass(frozen=True, slots=True)
class Place:
    """What is probed from one vantage; empty where nobody probes."""

    vantage: Vantage
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One purpose, with a place for each vantage of the matrix."""

    service: Service | None
    purpose: str
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """Lines over the vantages that any of them uses."""

    vantages: tuple[Vantage, ...]
    lines: tuple[Line, ...]


def build(endpoints: Iterable[Endpoint], now: datetime) -> Matrix:
    """Return the matrix of ``endpoints``; lines in the order in which their first endpoint comes."""
    found: dict[tuple[int | None, str], list[Endpoint]] = {}
    for endpoint in endpoints:
        found.setdefault((endpoint.service_id, endpoint.line), []).append(endpoint)
    used = {endpoint.vantage for group in found.values() for endpoint in group}
    vantages = tuple(vantage for vantage in Vantage if vantage in used)
    return Matrix(vantages, tuple(_line(group, vantages, now) for group in found.values()))


def _line(group: list[Endpoint], vantages: tuple[Vantage, ...], now: datetime) -> Line:
    places = tuple(
        Place(vantage, tuple(Cell(one, level(one, now)) for one in group if one.vantage == vantage))
        for vantage in vantages
    )
    return Line(group[0].service if group[0].service_id else None, group[0].line, places)


def level(endpoint: Endpoint, now: datetime) -> Level:
    """Return how an endpoint is shown: off, unknown without a result that counts, or what the probe said."""
    passing = endpoint.passing(now)
    if not endpoint.enabled:
        return Level.OFF
    if passing is None:
        return Level.UNKNOWN
    return Level.OK if passing else Level.CRITICAL
