"""``make bench``: measure the feed and other ways to do the same; exit 1 when a target is missed."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from bench import machine, report, scenarios, targets
from bench.install import install
from bench.load import build
from bench.processes import BenchError
from bench.systems import OTHERS, Bonghwa
from bench.targets import Results

PARTS = ("capacity", "others", "upstream", "idle", "stopped")
#: Rows a second into the gateway process when it is measured too.
UPSTREAM_RATE = 2000.0
NCHAN = "nginx + nchan"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it. Returns 0 when every measured target was met, 1 when not, 2 when it cannot run."""
    options = _options(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if options.install:
            install()
            return 0
        network = machine.enter_network_namespace()
        machine.raise_file_limit()
        with tempfile.TemporaryDirectory(prefix="bonghwa-bench-") as folder:
            return _measure(options, _plan(options, Path(folder)), network)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nInterrupted; everything was stopped.", file=sys.stderr)
        return 130


def _measure(options: argparse.Namespace, plan: scenarios.Plan, network: str) -> int:
    head = [f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine.describe()}.", f"{network.capitalize()}."]
    results = Results()
    for part in options.parts:
        results = _part(part, plan, results)
    foreign = max((sample.foreign for sample in results.samples()), default=0.0)
    note = (
        f" Preliminary: other processes used up to {foreign:.1f} cores." if foreign > scenarios.QUIET else ""
    )
    head += [f"Median of {plan.runs} runs of {plan.seconds:g} s.{note}"]
    installed = [Bonghwa(), *(system for system in OTHERS if not system.missing())]
    head += ["", *dict.fromkeys(f"- {system.version()}" for system in installed)]
    verdicts = targets.judge(results, nchan=NCHAN)
    print(report.render(results, verdicts, head))
    if options.json:
        body = {
            "head": head,
            "results": asdict(results),
            "targets": [asdict(verdict) for verdict in verdicts],
        }
        Path(options.json).write_text(json.dumps(body, indent=1, ensure_ascii=False))
    return int(targets.failed(verdicts))


def _part(part: str, plan: scenarios.Plan, results: Results) -> Results:
    if part == "capacity":
        own = [scenarios.capacity(plan, Bonghwa(), workload) for workload in scenarios.WORKLOADS]
        return replace(results, own=own)
    if part == "others":
        return _others(plan, results)
    if part == "upstream":
        found = [scenarios.from_upstream(plan, workload, UPSTREAM_RATE) for workload in scenarios.WORKLOADS]
        return replace(results, upstream=found)
    if part == "idle":
        return replace(results, idle=scenarios.idle(plan))
    rates = {item.workload: item.saturated.per_cpu_second for item in results.own}
    stopped = [
        scenarios.stopped(plan, workload, count, rates.get(workload, float(targets.ROWS_PER_CPU_SECOND)))
        for workload, count in scenarios.STOPS
    ]
    return replace(results, stopped=stopped)


def _others(plan: scenarios.Plan, results: Results) -> Results:
    measured: list[scenarios.Capacity] = []
    skipped: list[tuple[str, str]] = []
    for system in OTHERS:
        reason = system.missing()
        if reason:
            skipped.append((system.name, f"{reason} (make bench ARGS=--install)"))
            continue
        for workload in scenarios.WORKLOADS:
            try:
                measured.append(scenarios.capacity(plan, system, workload))
            except BenchError as error:
                skipped.append((f"{system.name}, {workload}", str(error)))
    return replace(results, others=measured, skipped=skipped)


def _plan(options: argparse.Namespace, folder: Path) -> scenarios.Plan:
    server_core, load_core = machine.cores()
    return scenarios.Plan(
        program=build(folder),
        server_core=server_core,
        load_core=load_core,
        runs=options.runs,
        seconds=options.seconds,
        idle_clients=options.idle_clients,
        patience=options.patience,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument("--install", action="store_true", help="install what is compared with, then end")
    parser.add_argument("--runs", type=int, default=5, help="runs of each measurement (5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a run (3)")
    parser.add_argument("--idle-clients", type=int, default=5000, help="idle connections (5,000)")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure (everything)"
    )
    parser.add_argument(
        "--patience", type=float, default=0.0, help="seconds that each run may wait for a quiet machine (0)"
    )
    parser.add_argument("--json", help="also write everything to this file")
    options = parser.parse_args(arguments)
    if options.runs < 1 or options.seconds < 0.2 or not 1 <= options.idle_clients <= 10_000:
        parser.error("--runs from 1, --seconds from 0.2, --idle-clients from 1 to 10,000")
    return options


if __name__ == "__main__":
    sys.exit(main())
