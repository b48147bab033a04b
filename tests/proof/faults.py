"""Ten faults beside nine healthy containers: each told in time, once, on the right service, and resolved."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime

from incidents.models import Incident, State
from portal.monitoring.models import Endpoint, Rule
from tests.proof import seen
from tests.proof.catalogue import (
    GROWING,
    HEALTHY,
    PROBE_INTERVAL_S,
    RUNS_OUT,
    SHORT_WINDOW_S,
    Fault,
    catalogue,
    start_healthy,
)
from tests.proof.crowd import a_crowd
from tests.proof.world import World

LOOK_S = 0.5
WELL_WITHIN_S = 180.0
#: A repair waits so long for the message, and the end so long for the last ones.
MESSAGE_S = 30.0
#: Past its target a fault is given up and repaired.
GIVE_UP_S = 60.0
HEAD = (
    "fault", "incident s", "target", "incidents", "service", "false alerts", "message s", "resolved s",
    "target", "ok",
)  # fmt: skip


@dataclass(slots=True)
class Case:
    """One fault on its way. Times are unix seconds, 0 while something has not happened."""

    fault: Fault
    #: Seconds from the message to the repair: what fires later must join the same incident.
    hold_s: float
    injected: float = 0.0
    told: float = 0.0
    opened: float = 0.0
    repaired: float = 0.0
    resolved: float = 0.0
    done: bool = False
    number: int = 0

    def step(self, world: World) -> None:
        """Look once and repair when it was told."""
        incident = seen.incident_of(self.fault.name)
        now = time.time()
        if incident is not None and not self.opened:
            self.opened, self.number = now, incident.number
            print(f"  {now - self.injected:6.1f} s  {self.fault.title}: {incident.title}", flush=True)
        if not self.repaired:
            if incident is not None and not self.told and seen.received(world.receiver, incident):
                self.told = now
            late = now > (self.opened or self.injected + self.fault.target_s) + MESSAGE_S + GIVE_UP_S
            if late or (self.told and now >= self.told + self.hold_s):
                self.fault.repair(world, world.container(self.fault.name))
                self.repaired = time.time()
                self.done = incident is None
            return
        if incident is not None and incident.state in (State.RESOLVED, State.CLOSED):
            self.resolved, self.done = now, True
            print(f"  {now - self.repaired:6.1f} s  {self.fault.title}: resolved after repair", flush=True)
        elif now - self.repaired > self.fault.repaired_s + GIVE_UP_S:
            self.done = True

    def inject(self, world: World) -> None:
        """Break the container."""
        self.injected = time.time()
        self.fault.inject(world, world.container(self.fault.name))


def main(world: World, arguments: Sequence[str]) -> int:
    """Play all faults, or those of ``--only``. Returns 0 when every line of the table is ok."""
    options = _options(arguments)
    windows = _windows(full=options.full)
    wanted = {key.strip() for key in options.only.split(",") if key.strip()}
    known = catalogue(windows)
    if unknown := wanted - {fault.key for fault in known}:
        print(f"No such fault: {', '.join(sorted(unknown))}. Known: {', '.join(f.key for f in known)}.")
        return 2
    chosen = [fault.stretched(options.slack) for fault in known if not wanted or fault.key in wanted]
    cases = [Case(fault, options.hold) for fault in chosen]
    _start(world, cases)
    if options.probe_interval != PROBE_INTERVAL_S:
        # Due at once, as the next one was planned with the interval before.
        Endpoint.objects.filter(from_label=True).update(interval_s=options.probe_interval, next_at=None)
    since = datetime.now(UTC)
    with a_crowd(world) if options.crowd else nullcontext() as crowd:
        _play(world, cases)
    if crowd:
        print(
            f"Two beats, two workers of each queue; {crowd.killed} killed, {crowd.repeated} tasks repeated."
        )
    deadline = time.time() + MESSAGE_S
    while time.time() < deadline and any(_messages(world, case)[1] for case in cases if case.number):
        time.sleep(LOOK_S)
    return _judge(world, cases, since)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make prove-faults", description=__doc__)
    parser.add_argument("--only", default="", help="keys of faults, separated by commas")
    parser.add_argument("--hold", type=float, default=20.0, help="seconds from the message to the repair")
    parser.add_argument(
        "--crowd",
        action="store_true",
        help="two beats, two workers of each queue, workers killed at work, every task repeated",
    )
    parser.add_argument("--slack", type=float, default=1.0, help="stretches the targets, on a busy machine")
    parser.add_argument(
        "--probe-interval", type=float, default=PROBE_INTERVAL_S, help="interval of the endpoints in seconds"
    )
    parser.add_argument(
        "--full", action="store_true", help="keep the shipped windows of the rules about memory (30 min)"
    )
    return parser.parse_args(arguments)


def _windows(*, full: bool) -> dict[str, float]:
    """Return the windows of the rules about memory, shortened as an administrator would unless ``full``."""
    windows = {}
    for name in (GROWING, RUNS_OUT):
        rule = Rule.objects.get(name=name)
        if not full:
            print(f"Rule {name}: window {rule.sustain_s:g} s → {SHORT_WINDOW_S} s (--full keeps it)")
            rule.sustain_s = SHORT_WINDOW_S
            rule.full_clean()
            rule.save()
        windows[name] = rule.sustain_s
    return windows


def _start(world: World, cases: Sequence[Case]) -> None:
    """Start everything and wait until the product sees it well."""
    names = [*HEALTHY, *(case.fault.name for case in cases)]
    print(f"Starting {len(HEALTHY)} healthy containers and {len(cases)} that are going to fail …", flush=True)
    start_healthy(world)
    for case in cases:
        case.fault.start(world, case.fault.name)
    deadline = time.monotonic() + WELL_WITHIN_S
    while waiting := seen.not_yet_well(names):
        if time.monotonic() > deadline:
            raise AssertionError(f"not seen well within {WELL_WITHIN_S:g} s: {', '.join(waiting)}")
        time.sleep(LOOK_S)


def _play(world: World, cases: Sequence[Case]) -> None:
    """Inject the light faults together and the heavy ones one after the other; return when all are over."""
    heavy = [case for case in cases if case.fault.heavy]
    print("Seconds from injection:", flush=True)
    for case in cases:
        if not case.fault.heavy:
            case.inject(world)
    while not all(case.done for case in cases):
        if heavy and (not heavy[0].injected or heavy[0].repaired):
            if heavy[0].repaired:
                heavy.pop(0)
            if heavy:
                heavy[0].inject(world)
        for case in cases:
            if case.injected and not case.done:
                case.step(world)
        time.sleep(LOOK_S)


def _messages(world: World, case: Case) -> tuple[float, str]:
    """Return when the first message came, and what is wrong with the messages."""
    incident = Incident.objects.get(number=case.number)
    arrived = seen.received(world.receiver, incident)
    return (min(arrived) if arrived else 0.0), seen.delivered_once(world.receiver, incident)


def _judge(world: World, cases: Sequence[Case], since: datetime) -> int:
    """Print the table and what else happened."""
    rows, good = [], True
    for case in cases:
        row, fine = _row(world, case, since)
        rows.append(row)
        good &= fine
    widths = [max(len(row[column]) for row in [HEAD, *rows]) for column in range(len(HEAD))]
    print()
    for row in [HEAD, *rows]:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
    alerts = seen.alerts_on(HEALTHY, since)
    for alert in alerts:
        print(f"FALSE  {alert.opened_at:%H:%M:%S} UTC  {alert.text}")
    strangers = seen.others([case.fault.name for case in cases], since)
    for incident in strangers:
        print(f"OTHER  {incident.opened_at:%H:%M:%S} UTC  {incident}")
    good &= not alerts and not strangers
    print(
        f"\n{len(HEALTHY)} healthy containers, {len(alerts)} false alerts, {len(strangers)} other incidents."
    )
    print("Every line is ok." if good else "Not every line is ok.")
    return 0 if good else 1


def _row(world: World, case: Case, since: datetime) -> tuple[tuple[str, ...], bool]:
    fault = case.fault
    until = case.resolved or time.time()
    false = seen.alerts_on(
        HEALTHY, datetime.fromtimestamp(case.injected, UTC), datetime.fromtimestamp(until, UTC)
    )
    incidents = seen.incidents_naming(fault.name, since)
    count = sum(1 + incident.reopened for incident in incidents)
    services = sorted({name for incident in incidents for name in incident.services})
    arrived, wrong = _messages(world, case) if case.number else (0.0, "none")
    took = case.opened - case.injected if case.opened else None
    resolved = case.resolved - case.repaired if case.resolved else None
    checks = (
        took is not None and took <= fault.target_s,
        count == 1,
        services == [fault.name],
        not false,
        bool(arrived) and not wrong,
        resolved is not None and resolved <= fault.repaired_s,
    )
    window = f" ({fault.rule})" if fault.rule else ""
    cells = (
        fault.title + window,
        "-" if took is None else f"{took:.1f}",
        f"≤ {fault.target_s:g}",
        str(count),
        "right" if services == [fault.name] else ", ".join(services) or "-",
        str(len(false)),
        (f"{arrived - case.injected:.1f}" if arrived else "none") + (f" ({wrong})" if wrong else ""),
        "-" if resolved is None else f"{resolved:.1f}",
        f"≤ {fault.repaired_s:g}",
        "ok" if all(checks) else "MISS",
    )
    return cells, all(checks)
