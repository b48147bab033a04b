"""What the numbers are held to. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.load import Sample
from bench.scenarios import Capacity, FromUpstream, Idle, Stopped

ROWS_PER_CPU_SECOND = 3_000_000
TIMES_NCHAN = 5.0
#: Milliseconds by number of clients.
HALF_P99 = {200: 10.0, 1000: 30.0}
SPREAD_P99 = 60.0
IDLE_BYTES = 32 * 1024
OTHERS_P99 = 1.2
#: Latencies differ by this much from run to run whatever happens, in ms.
NOISE = 1.0
#: Share of its core that the generator may use before it, and not the server, is what is measured.
GENERATOR_SHARE = 0.95


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target. ``met`` is None where it was not measured."""

    met: bool | None
    what: str
    seen: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Everything that one run measured. ``skipped`` says why a system is missing."""

    own: Sequence[Capacity] = ()
    others: Sequence[Capacity] = ()
    skipped: Sequence[tuple[str, str]] = ()
    idle: Idle | None = None
    stopped: Sequence[Stopped] = ()
    upstream: Sequence[FromUpstream] = ()

    def samples(self) -> Iterator[Sample]:
        """Yield everything that was sampled."""
        for capacity in (*self.own, *self.others):
            yield from (capacity.saturated, capacity.half)
        yield from (item.sample for item in self.upstream)
        yield from (self.idle.spread,) if self.idle is not None else ()
        for stopped in self.stopped:
            yield from (stopped.before, stopped.during)


def judge(results: Results, *, nchan: str) -> list[Verdict]:
    """Hold results to the targets; ``nchan`` is the system that is compared with."""
    verdicts: list[Verdict] = []
    for own in results.own:
        rival = next(
            (item for item in results.others if item.system == nchan and item.workload == own.workload), None
        )
        verdicts += _capacity(own, rival)
    if results.idle is not None:
        verdicts += _idle(results.idle)
    for stopped in results.stopped:
        verdicts += _stopped(stopped)
    return verdicts


def failed(verdicts: Sequence[Verdict]) -> bool:
    """Return whether a target was missed."""
    return any(verdict.met is False for verdict in verdicts)


def _capacity(own: Capacity, rival: Capacity | None) -> Iterator[Verdict]:
    rate, load = own.saturated.per_cpu_second, own.workload
    yield Verdict(
        rate >= ROWS_PER_CPU_SECOND,
        f"{load}: at least {ROWS_PER_CPU_SECOND:,} rows per CPU-second",
        f"{rate:,.0f}",
    )
    what = f"{load}: at least {TIMES_NCHAN:g} times nginx + nchan"
    if rival is None:
        yield Verdict(None, what, "nchan not measured")
    else:
        times = rate / rival.saturated.per_cpu_second
        yield Verdict(times >= TIMES_NCHAN, what, f"{times:.1f} times")
    limit = HALF_P99.get(load.clients)
    if limit is not None:
        p99 = own.half.p99
        yield Verdict(p99 <= limit, f"{load}: p99 at half load at most {limit:g} ms", f"{p99:.1f} ms")
    gone = own.saturated.lost + own.half.lost
    odd = own.saturated.wrong + own.half.wrong + own.saturated.dead + own.half.dead
    yield Verdict(
        gone + odd == 0,
        f"{load}: every row arrives once, nobody is disconnected",
        f"{gone:,} rows lost, {odd} clients wrong or gone",
    )


def _idle(idle: Idle) -> Iterator[Verdict]:
    size = idle.connection_bytes
    yield Verdict(
        size <= IDLE_BYTES,
        f"{idle.clients:,} idle: at most {IDLE_BYTES // 1024} KiB each",
        f"{size / 1024:.1f} KiB",
    )
    p99 = idle.spread.p99
    yield Verdict(
        p99 <= SPREAD_P99 and not idle.spread.lost,
        f"{idle.clients:,} at 10 rows/s each: p99 at most {SPREAD_P99:g} ms",
        f"{p99:.1f} ms, {idle.spread.lost:,} lost",
    )


def _stopped(stopped: Stopped) -> Iterator[Verdict]:
    before, during, load = stopped.before.p99, stopped.during.p99, stopped.workload
    yield Verdict(
        during <= max(before * OTHERS_P99, before + NOISE) and not stopped.during.lost,
        f"{load}, {stopped.stopped} stop reading: the others' p99 within 20 %",
        f"{before:.1f} → {during:.1f} ms, {stopped.during.lost:,} lost",
    )
    yield Verdict(
        stopped.growth <= stopped.bound,
        f"{load}, {stopped.stopped} stop reading: memory grows by at most {stopped.bound / 2**20:.0f} MiB",
        f"{stopped.growth / 2**20:.1f} MiB",
    )
    yield Verdict(
        stopped.closed >= stopped.stopped,
        f"{load}, {stopped.stopped} stop reading: each is closed with 4408",
        f"{stopped.closed}",
    )
