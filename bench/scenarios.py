"""What is done to a system and what comes out: saturation, half of it, idle connections, stopped readers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from statistics import median
from time import monotonic, sleep

from bench.load import Endpoint, Load, Sample
from bench.processes import BenchError, Meter, cpu_seconds, rss
from bench.systems import Bonghwa, Place, System
from bench.systems.bonghwa import FRAME_MAX, QUEUE_MAX, closes

#: Rows on their way to each client at saturation: a quarter of ``FEED_QUEUE_BYTES``, so nothing overflows.
WINDOW = 480
#: Cores that other processes may use before a run counts as disturbed, and seconds of a look at them.
QUIET, QUIET_LOOK = 0.1, 0.5
#: Seconds that the server has to tell its closes, and tries of half a second until the gateway has rows.
TELL_TRIES, REGISTER_TRIES = 12, 40
#: A step up of a server's memory that is not a stopped reader's: the allocator's own.
SLACK = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Workload:
    """How many clients want how many symbols each; all want the same."""

    clients: int
    symbols: int

    def __str__(self) -> str:
        return f"{self.clients:,} × {self.symbols}"


WORKLOADS = (Workload(200, 1), Workload(1000, 20))
#: How many readers stop: 5 % of each workload's, and 200.
STOPS = ((WORKLOADS[0], 10), (WORKLOADS[1], 50), (WORKLOADS[1], 200))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long and how often; times in seconds. ``say`` gets a line of progress.

    ``slow_after`` is when a reader that stopped must have been closed: the time to fill the kernel's buffers
    and its queue, and five seconds over the limit. Each run waits for up to ``patience`` until the machine is
    quiet, and is repeated for as long when it was disturbed.
    """

    program: Path
    server_core: int
    load_core: int
    runs: int = 5
    warm_up: float = 1.0
    seconds: float = 3.0
    idle_clients: int = 5000
    slow_after: float = 20.0
    patience: float = 0.0
    say: Callable[[str], None] = lambda line: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """A system under one workload: medians of its runs, and resident bytes for each connection."""

    system: str
    workload: Workload
    saturated: Sample
    half: Sample
    connection_bytes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Many connections without rows, then with ten rows a second each. ``connect_ms`` is CPU for each."""

    clients: int
    connection_bytes: float
    connect_ms: float
    spread: Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """Some readers stop. ``growth`` and ``bound`` are bytes of the server's memory."""

    workload: Workload
    stopped: int
    before: Sample
    during: Sample
    growth: int
    bound: int
    closed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FromUpstream:
    """From the upstream's socket to the clients, at ``rate`` rows/s. ``gateway_us`` is CPU for each row."""

    workload: Workload
    rate: float
    sample: Sample
    gateway_us: float


def median_of(samples: Sequence[Sample]) -> Sample:
    """Return a sample with the median of each measure; what was published, lost or went wrong is added up."""
    middle = {item.name: median(getattr(sample, item.name) for sample in samples) for item in fields(Sample)}
    names = ("published", "lost", "wrong", "dead")
    total = {name: sum(getattr(sample, name) for sample in samples) for name in names}
    return replace(samples[0], **middle | total | {"foreign": max(sample.foreign for sample in samples)})


def capacity(plan: Plan, system: System, workload: Workload) -> Capacity:
    """Measure one system under one workload."""
    with _place(plan) as place, system.run(place, workload.symbols) as endpoint:
        empty = rss(endpoint.pids)
        with _load(plan, place, endpoint, workload.clients) as load:
            connected = rss(endpoint.pids)
            timing = {"warm_up": plan.warm_up, "seconds": plan.seconds}
            saturated = []
            for number in range(plan.runs):
                saturated.append(_undisturbed(plan, lambda: load.saturate(WINDOW, **timing)))
                plan.say(
                    f"{system.name}, {workload}, saturated {number + 1}/{plan.runs}: {_brief(saturated[-1])}"
                )
            rate = median(sample.per_cpu_second for sample in saturated) / 2 / workload.clients
            half = []
            for number in range(plan.runs):
                half.append(_undisturbed(plan, lambda: load.paced(rate, **timing)))
                plan.say(f"{system.name}, {workload}, half {number + 1}/{plan.runs}: {_brief(half[-1])}")
    return Capacity(
        system=system.name,
        workload=workload,
        saturated=median_of(saturated),
        half=median_of(half),
        connection_bytes=(connected - empty) / workload.clients,
    )


def idle(plan: Plan) -> Idle:
    """Measure many connections to one symbol: their memory, then ten rows a second to each."""
    with _place(plan) as place, Bonghwa().run(place, 1) as endpoint:
        with _load(plan, place, endpoint, 20) as load:
            load.idle(1.0)  # what is loaded and cached on first use
        empty = rss(endpoint.pids)
        clients = plan.idle_clients
        with _load(plan, place, endpoint, clients) as load:
            connected = load.idle(3.0)
            plan.say(f"{clients:,} connected in {load.connect_seconds:.1f} s")
            samples, seconds = [], max(plan.seconds, 2.0)
            for number in range(plan.runs):
                samples.append(
                    _undisturbed(plan, lambda: load.paced(10, warm_up=plan.warm_up, seconds=seconds))
                )
                plan.say(f"{clients:,} at 10 rows/s {number + 1}/{plan.runs}: {_brief(samples[-1])}")
            connect_ms = load.connect_cpu / clients * 1000
    return Idle(
        clients=clients,
        connection_bytes=(connected - empty) / clients,
        connect_ms=connect_ms,
        spread=median_of(samples),
    )


def stopped(plan: Plan, workload: Workload, count: int, per_cpu_second: float) -> Stopped:
    """Measure what ``count`` readers that stop do to the others, at half of a capacity."""
    rate = per_cpu_second / 2 / workload.clients
    with (
        _place(plan) as place,
        Bonghwa().run(place, workload.symbols) as endpoint,
        _load(plan, place, endpoint, workload.clients) as load,
    ):
        length = plan.slow_after / 4
        before = [
            _undisturbed(plan, lambda: load.paced(rate, warm_up=plan.warm_up, seconds=length))
            for _ in range(2)
        ]
        base = max(sample.rss_peak for sample in before)
        load.stall(count)
        meter = Meter()
        during = replace(load.paced(rate, warm_up=0.0, seconds=plan.slow_after), foreign=meter.foreign())
        plan.say(f"{workload}, {count} stopped: {_brief(during)}")
        load.resume(5.0)
        closed = _closed_as_slow(endpoint, count)
    return Stopped(
        workload=workload,
        stopped=count,
        before=median_of(before),
        during=during,
        growth=during.rss_peak - base,
        bound=count * (QUEUE_MAX + FRAME_MAX) + SLACK,
        closed=closed,
    )


def from_upstream(plan: Plan, workload: Workload, rate: float) -> FromUpstream:
    """Measure the way from the upstream's socket, through the gateway process, to the clients."""
    samples, costs = [], []
    with (
        _place(plan) as place,
        Bonghwa().run_from_upstream(place, workload.symbols) as (endpoint, gateway),
        _load(plan, place, endpoint, workload.clients) as load,
    ):
        _wait_for_rows(load)
        for number in range(plan.runs):
            meter, before = Meter(), cpu_seconds(gateway)
            sample = load.paced(rate, warm_up=plan.warm_up, seconds=plan.seconds)
            costs.append((cpu_seconds(gateway) - before) / sample.published * 1e6)
            samples.append(replace(sample, foreign=meter.foreign()))
            plan.say(f"from upstream {number + 1}/{plan.runs}: {_brief(samples[-1])}")
    return FromUpstream(workload=workload, rate=rate, sample=median_of(samples), gateway_us=median(costs))


def _undisturbed(plan: Plan, run: Callable[[], Sample]) -> Sample:
    """Return a run that other processes did not disturb, or the last one when patience ends."""
    end = monotonic() + plan.patience
    while True:
        _wait_for_quiet(end)
        meter = Meter()
        sample = run()
        sample = replace(sample, foreign=meter.foreign())
        if sample.foreign <= QUIET or monotonic() >= end:
            return sample


def _wait_for_quiet(end: float) -> None:
    while monotonic() < end:
        meter = Meter()
        sleep(QUIET_LOOK)
        if meter.foreign() <= QUIET:
            return


def _load(plan: Plan, place: Place, endpoint: Endpoint, clients: int) -> Load:
    return Load(plan.program, endpoint, clients, core=plan.load_core, folder=place.folder)


def _closed_as_slow(endpoint: Endpoint, count: int) -> int:
    """Return how many connections the server has closed as too slow; it tells each five seconds."""
    for _ in range(TELL_TRIES):
        closed = closes(endpoint.publisher.port).get("4408", 0)
        if closed >= count:
            return closed
        sleep(1.0)
    return closes(endpoint.publisher.port).get("4408", 0)


def _wait_for_rows(load: Load) -> None:
    """Return once rows arrive: the gateway has to log in and register what the clients want.

    Raises:
        BenchError: none arrive.
    """
    for _ in range(REGISTER_TRIES):
        sample = load.paced(200, warm_up=0.0, seconds=0.5)
        if sample.delivered and not sample.lost:
            return
    raise BenchError("No rows come through the gateway process; is the simulator's key accepted?")


@contextmanager
def _place(plan: Plan) -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="bonghwa-bench-") as folder:
        yield Place(plan.server_core, plan.load_core, Path(folder))


def _brief(sample: Sample) -> str:
    return (
        f"{sample.per_cpu_second:,.0f} rows/CPU-s, {sample.per_second:,.0f} rows/s, "
        f"server {sample.server_share:.0%}, {sample.rows_per_frame:.0f} rows/frame, "
        f"p50 {sample.p50:.1f} p99 {sample.p99:.1f} ms, lost {sample.lost}, "
        f"generator {sample.own_share:.0%} {sample.own_us:.2f} µs/row, late {sample.late:.0f} ms, "
        f"others {sample.foreign:.1f} cores"
    )
