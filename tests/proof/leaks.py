"""What grows in a running product, judged from samples: memory, file descriptors, threads, tasks. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median

MIB = 1024 * 1024
HOUR_S = 3600.0
#: Memory that grows by more MiB in an hour is a leak, if what it grew by shows above allocators' steps.
SLOPE_MIB_PER_HOUR = 24.0
STEP_MIB = 4.0
#: So many looks at either end of the time after the warm-up stand for it: memory by their median, a count by
#: the least of them, since what a task holds for a moment is no leak.
ENDS = 5
#: What a count may be over where it began: deployments and pools make it breathe.
COUNT_STEP, COUNT_SHARE = 6.0, 0.05


@dataclass(frozen=True, slots=True)
class Footprint:
    """What one process holds: bytes of resident memory, open file descriptors, threads."""

    rss: int
    fds: int
    threads: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One look: seconds since the start, each process, and other counts (connections, keys, …)."""

    at: float
    processes: Mapping[str, Footprint]
    counts: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One series, judged. Memory is in MiB with its slope in MiB/h; a count has no slope."""

    name: str
    first: float
    last: float
    highest: float
    slope: float | None = None
    ok: bool = True


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the least-squares slope of ``(x, y)`` points; 0 where there is no spread in x."""
    if len(points) < 2:
        return 0.0
    x_mean, y_mean = mean(x for x, _ in points), mean(y for _, y in points)
    spread = sum((x - x_mean) ** 2 for x, _ in points)
    return sum((x - x_mean) * (y - y_mean) for x, y in points) / spread if spread else 0.0


def judge(
    samples: Sequence[Sample], warm_up_s: float, *, slope_limit: float = SLOPE_MIB_PER_HOUR
) -> tuple[Line, ...]:
    """Return a line for each process's memory, descriptors and threads, and for each count.

    Only what comes after ``warm_up_s`` counts. A process that was replaced meanwhile is judged by the name
    that it shares with its successor. Children of one pool (``worker/1``, ``worker/2``) are judged by the one
    that holds the most memory: they take the same tasks, but one may come to its first of a kind late.

    Raises:
        ValueError: fewer than two looks are left after the warm-up.
    """
    kept = [one for one in samples if one.at >= warm_up_s]
    if len(kept) < 2:
        raise ValueError(f"{len(kept)} looks after the warm-up of {warm_up_s:g} s; soak for longer")
    lines = []
    pools = sorted({_pool(name) for one in kept for name in one.processes})
    lines += [_memory(f"{pool}: MiB", _greatest(kept, pool), slope_limit) for pool in pools]
    for name in sorted({name for one in kept for name in one.processes}):
        lines.append(_count(f"{name}: descriptors", _series(kept, name, lambda one: one.fds)))
        lines.append(_count(f"{name}: threads", _series(kept, name, lambda one: one.threads)))
    for name in sorted({name for one in kept for name in one.counts}):
        lines.append(_count(name, [(one.at, one.counts[name]) for one in kept if name in one.counts]))
    return tuple(lines)


def at_rest(before: Sequence[Sample], after: Sequence[Sample]) -> tuple[Line, ...]:
    """Return a line for each count of a product without clients, before they came and after they left.

    Memory is not among them: an allocator keeps what it once had.
    """
    first, last = _least(before), _least(after)
    return tuple(
        Line(
            name=f"{name}, at rest",
            first=first[name],
            last=last[name],
            highest=max(first[name], last[name]),
            ok=last[name] <= _allowed(first[name]),
        )
        for name in sorted(set(first) & set(last))
    )


def _least(samples: Sequence[Sample]) -> dict[str, float]:
    """Return the least of every count: what a task holds for a moment is no leak."""
    found: dict[str, float] = {}
    for sample in samples:
        counts = dict(sample.counts)
        for name, footprint in sample.processes.items():
            counts[f"{name}: descriptors"] = footprint.fds
            counts[f"{name}: threads"] = footprint.threads
        for name, count in counts.items():
            found[name] = min(count, found.get(name, count))
    return found


def _series(
    samples: Sequence[Sample], name: str, value: Callable[[Footprint], int]
) -> list[tuple[float, float]]:
    return [(one.at, value(one.processes[name])) for one in samples if name in one.processes]


def _pool(name: str) -> str:
    parent, slash, _ = name.partition("/")
    return f"{parent}/*" if slash else name


def _greatest(samples: Sequence[Sample], pool: str) -> list[tuple[float, float]]:
    """Return when and how many MiB, at most, a process of the pool held."""
    held = [
        (one.at, [own.rss for name, own in one.processes.items() if _pool(name) == pool]) for one in samples
    ]
    return [(at, max(sizes) / MIB) for at, sizes in held if sizes]


def _memory(name: str, points: list[tuple[float, float]], limit: float) -> Line:
    first, last, highest = _ends(points, median)
    per_hour = slope(points) * HOUR_S
    grown = slope(points) * (points[-1][0] - points[0][0])
    grows = per_hour > limit and grown > STEP_MIB
    return Line(name=name, first=first, last=last, highest=highest, slope=per_hour, ok=not grows)


def _count(name: str, points: list[tuple[float, float]]) -> Line:
    first, last, highest = _ends(points, min)
    return Line(name=name, first=first, last=last, highest=highest, ok=last <= _allowed(first))


def _allowed(first: float) -> float:
    return first + max(COUNT_STEP, first * COUNT_SHARE)


def _ends(
    points: list[tuple[float, float]], choose: Callable[[Sequence[float]], float]
) -> tuple[float, float, float]:
    values = [value for _, value in points]
    size = min(ENDS, max(1, len(values) // 2))
    return choose(values[:size]), choose(values[-size:]), max(values)


def table(lines: Sequence[Line]) -> str:
    """Return the lines as Markdown."""
    rows = ["| what | first | last | highest | MiB/h | |", "|---|---|---|---|---|---|"]
    for one in lines:
        per_hour = "" if one.slope is None else f"{one.slope:+.1f}"
        verdict = "ok" if one.ok else "GROWS"
        rows.append(
            f"| {one.name} | {one.first:.1f} | {one.last:.1f} | {one.highest:.1f} | {per_hour} | {verdict} |"
        )
    return "\n".join(rows)
