"""The Engine, Redis, the database, the channel go away: unknown is shown, nothing is lost or doubled."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

import httpx
from django.db import DatabaseError, close_old_connections, connection
from django.utils import timezone

from incidents.models import Delivery, DeliveryState, Incident, State
from portal.dashboard import queries
from portal.dashboard.data import Level
from tests.proof import seen
from tests.proof.parts import Channel, Engine, Part, Postgres, Redis, options
from tests.proof.world import World

T = TypeVar("T")
LOOK_S = 0.5
WELL_WITHIN_S = 180.0
#: From the return to the incident of what happened meanwhile, and the rule's own time before.
OPEN_WITHIN_S = 60.0
#: A message that failed is tried again after at most so many times the time that passed.
RETRY_FACTOR = 2.0
RESOLVE_WITHIN_S = 240.0
HEALTHY = ("outage-healthy-1", "outage-healthy-2")
#: Incidents of the product about itself, by part: fingerprint, and from which length on one is due (s).
OWN = {"engine": ("collector:docker", 75.0), "redis": ("portal:monitoring", 105.0)}
HEAD = (
    "gone",
    "s",
    "shown meanwhile",
    "before: same incident",
    "meanwhile: opened after s",
    "told once",
    "ok",
)


@dataclass(slots=True)
class Case:
    """One part that goes away between two faults: one before, one meanwhile."""

    key: str
    part: Part
    look: Callable[[World, Case], str]
    number_before: int = 0
    number_after: int = 0
    pid: int = 0
    shown: str = ""
    took: float | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def before(self) -> str:
        """Name of the container that fails before."""
        return f"outage-{self.key}-before"

    @property
    def meanwhile(self) -> str:
        """Name of the container that fails meanwhile."""
        return f"outage-{self.key}-meanwhile"


def main(world: World, arguments: Sequence[str], engine: Engine | None, database: Postgres) -> int:
    """Take each part away for ``--seconds``. Returns 0 when every line of the table is ok."""
    chosen = options(arguments)
    parts: dict[str, tuple[Part, Callable[[World, Case], str]]] = {
        "redis": (Redis(world), _shown_unknown),
        "database": (database, _not_ready),
        "channel": (Channel(world), _waiting),
    }
    if engine is not None:
        parts = {"engine": (engine, _stored_unknown), **parts}
    cases = [Case(key, *parts[key]) for key in chosen.only]
    names = [*HEALTHY, *(name for case in cases for name in (case.before, case.meanwhile))]
    _start(world, names)
    since = datetime.now(UTC)
    for case in cases:
        try:
            _play(world, case, chosen.seconds, chosen.slack)
        finally:
            case.part.give()
    _repair(world, cases, chosen.slack)
    return _judge(world, cases, since, chosen.seconds)


def _start(world: World, names: Sequence[str]) -> None:
    for name in names:
        world.run(name, "crash" if name not in HEALTHY else "http")
    _await(lambda: not seen.not_yet_well(names), WELL_WITHIN_S)
    if waiting := seen.not_yet_well(names):
        raise AssertionError(f"not seen well within {WELL_WITHIN_S:g} s: {', '.join(waiting)}")


def _play(world: World, case: Case, seconds: float, slack: float) -> None:
    """One fault, the part goes, another fault, the part comes back."""
    world.container(case.before).kill(signal="SIGUSR1")
    first = _await(lambda: _told(world, case.before), OPEN_WITHIN_S * slack)
    if first is None:
        case.problems.append("the fault before was not told")
        return
    case.number_before = first.number
    case.pid = int(world.container(case.meanwhile).attrs["State"]["Pid"])
    print(f"{case.key} goes away for {seconds:g} s …", flush=True)
    case.part.take()
    gone = time.monotonic()
    # Not through the Engine, which may be what is away.
    os.kill(case.pid, signal.SIGUSR1)
    while time.monotonic() < gone + seconds:
        time.sleep(LOOK_S)
        case.shown = case.look(world, case) or case.shown
    print(f"{case.key} comes back; meanwhile: {case.shown or 'nothing shown'}", flush=True)
    case.part.give()
    back = time.monotonic()
    limit = (OPEN_WITHIN_S + (RETRY_FACTOR * seconds if case.key == "channel" else 0.0)) * slack
    second = _await(lambda: _told(world, case.meanwhile), limit)
    if second is None:
        case.problems.append(f"what happened meanwhile was not told within {limit:g} s")
        return
    case.number_after, case.took = second.number, time.monotonic() - back
    print(f"{case.took:6.1f} s  {second}", flush=True)


def _told(world: World, name: str) -> Incident | None:
    """Return the container's incident once its message arrived."""
    incident = seen.incident_of(name)
    return incident if incident is not None and seen.received(world.receiver, incident) else None


def _await(look: Callable[[], T], within: float) -> T | None:
    """Return the first true value of ``look``; ``None`` when the time is over or nothing can be read."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        close_old_connections()
        try:
            if found := look():
                return found
        except DatabaseError:
            connection.close()
        time.sleep(LOOK_S)
    return None


def _stored_unknown(_world: World, case: Case) -> str:
    """The Engine is away: all its services are unknown."""
    expected = {*HEALTHY, case.before}
    return "services unknown" if expected <= set(seen.unknown(expected)) else ""


def _shown_unknown(_world: World, _case: Case) -> str:
    """Nothing is collected: what the dashboard shows grows too old to be believed."""
    rows = {row.name: row for row in queries.service_rows(timezone.now())}
    old = all(rows[name].level is Level.UNKNOWN for name in HEALTHY)
    return "services unknown" if old else ""


def _not_ready(world: World, case: Case) -> str:
    """The database is away: no page can tell anything, and readiness says why."""
    try:
        answer = httpx.get(f"{world.product.url}/health/ready", timeout=10)
        checks = answer.json()["checks"]
    except (httpx.HTTPError, ValueError, KeyError):
        return ""
    if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE and not checks[case.key]["ok"]:
        return f"/health/ready: {case.key} fails"
    return ""


def _waiting(_world: World, case: Case) -> str:
    """The channel is away: the message waits in the outbox, with the error of its last try."""
    incident = seen.incident_of(case.meanwhile)
    waiting = Delivery.objects.filter(
        message__incident=incident, state=DeliveryState.PENDING, attempts__gt=0
    ).first()
    return f"message waits, {waiting.attempts} tries" if incident and waiting else ""


def _repair(world: World, cases: Sequence[Case], slack: float) -> None:
    """Replace what failed, and wait until every incident is over and told."""
    for case in cases:
        for name in (case.before, case.meanwhile):
            world.run(name, "http")
    print("Everything is repaired …", flush=True)

    def over() -> bool:
        recent = Incident.objects.filter(import_key=None).exclude(state__in=(State.RESOLVED, State.CLOSED))
        told = Incident.objects.filter(import_key=None)
        return not recent.exists() and not any(seen.delivered_once(world.receiver, one) for one in told)

    _await(over, RESOLVE_WITHIN_S * slack)


def _judge(world: World, cases: Sequence[Case], since: datetime, seconds: float) -> int:
    rows, good = [], True
    for case in cases:
        row, fine = _row(world, case, seconds)
        rows.append(row)
        good &= fine
    widths = [max(len(row[column]) for row in [HEAD, *rows]) for column in range(len(HEAD))]
    print()
    for row in [HEAD, *rows]:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
    names = [name for case in cases for name in (case.before, case.meanwhile)]
    due = {OWN[case.key][0] for case in cases if case.key in OWN}
    for incident in seen.others(names, since):
        wrong = seen.delivered_once(world.receiver, incident)
        expected = incident.fingerprint in due and incident.reopened == 0 and not wrong
        print(f"{'about itself' if expected else 'UNEXPECTED'}  {incident}{f' ({wrong})' if wrong else ''}")
        good &= expected
    for alert in seen.alerts_on(HEALTHY, since):
        print(f"FALSE  {alert.text}")
        good = False
    print("\nEvery line is ok." if good else "\nNot every line is ok.")
    return 0 if good else 1


def _row(world: World, case: Case, seconds: float) -> tuple[tuple[str, ...], bool]:
    problems = list(case.problems)
    for name, number in ((case.before, case.number_before), (case.meanwhile, case.number_after)):
        incidents = Incident.objects.filter(fingerprint=seen.fingerprint(name))
        if [(one.number, one.reopened) for one in incidents] != [(number, 0)]:
            problems.append(f"{name}: {incidents.count()} incidents")
        problems.extend(
            f"{name}: {wrong}" for one in incidents if (wrong := seen.delivered_once(world.receiver, one))
        )
        problems.extend(f"{name}: not resolved" for one in incidents if one.is_open)
    fingerprint, due = OWN.get(case.key, ("", 0.0))
    if fingerprint and seconds >= due and not Incident.objects.filter(fingerprint=fingerprint).exists():
        problems.append("nobody was told that it is away")
    if not case.shown:
        problems.append("nothing was shown meanwhile")
    took = "-" if case.took is None else f"{case.took:.1f}"
    result = "ok" if not problems else "MISS: " + "; ".join(problems)
    same = f"INC-{case.number_before}" if case.number_before else "-"
    told = "yes" if not any("arrived" in one or "×" in one for one in problems) else "no"
    return (case.key, f"{seconds:g}", case.shown or "-", same, took, told, result), not problems
