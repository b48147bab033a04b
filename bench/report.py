"""The table that a run prints, as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.load import Sample
from bench.scenarios import WINDOW, Capacity, FromUpstream, Idle, Stopped
from bench.targets import GENERATOR_SHARE, Results, Verdict

_CAPACITY = (
    *(
        "system",
        "clients × symbols",
        "rows per CPU-second",
        "rows/s",
        "CPU",
        "rows/frame",
        "p50 / p99 / p99.9 ms",
    ),
    *("half load, rows/s", "CPU", "p50 / p99 / p99.9 ms", "lost", "KiB/connection", "generator"),
)


def render(results: Results, verdicts: Sequence[Verdict], head: Iterable[str]) -> str:
    """Return everything that was measured and how it compares with the targets."""
    parts = ["\n".join(head)]
    measured = [*results.own, *results.others]
    if measured:
        measured.sort(key=lambda item: (item.workload.clients, item.saturated.per_cpu_second))
        parts.append(f"Saturated ({WINDOW} rows on their way at most), then at half of that capacity:")
        parts.append(_table(_CAPACITY, [_row(item) for item in measured]))
    if results.skipped:
        parts.append("\n".join(f"Skipped: {name}: {reason}." for name, reason in results.skipped))
    parts += [_upstream(item) for item in results.upstream]
    if results.idle is not None:
        parts.append(_idle(results.idle))
    parts += [_stopped(item) for item in results.stopped]
    words = {True: "ok", False: "MISSED", None: "not measured"}
    rows = [(words[verdict.met], verdict.what, verdict.seen) for verdict in verdicts]
    parts.append(_table(("target", "what", "seen"), rows))
    return "\n\n".join(parts)


def _row(item: Capacity) -> tuple[str, ...]:
    full, half = item.saturated, item.half
    generator = f"{full.own_share:.0%}, {full.own_us:.2f} µs/row"
    if full.own_share > GENERATOR_SHARE:
        generator += " (the limit)"
    return (
        item.system,
        str(item.workload),
        f"{full.per_cpu_second:,.0f}",
        f"{full.per_second:,.0f}",
        f"{full.server_share:.0%}",
        f"{full.rows_per_frame:.1f}",
        _latency(full),
        f"{half.per_second:,.0f}",
        f"{half.server_share:.0%}",
        _latency(half),
        f"{full.lost + half.lost:,}",
        f"{item.connection_bytes / 1024:.1f}",
        generator,
    )


def _latency(sample: Sample) -> str:
    return f"{sample.p50:.1f} / {sample.p99:.1f} / {sample.p999:.1f}"


def _upstream(item: FromUpstream) -> str:
    seen = item.sample
    return (
        f"From the upstream's socket to {item.workload.clients:,} clients, {item.rate:,.0f} rows/s in: "
        f"p50 {seen.p50:.1f}, p99 {seen.p99:.1f}, p99.9 {seen.p999:.1f} ms, {seen.lost:,} lost; "
        f"the gateway process uses {item.gateway_us:.1f} µs a row, the web process {seen.server_share:.0%}."
    )


def _idle(item: Idle) -> str:
    seen = item.spread
    return (
        f"{item.clients:,} connections: {item.connection_bytes / 1024:.1f} KiB each when idle, "
        f"{item.connect_ms:.2f} ms of CPU to connect each; with 10 rows/s to each: p50 {seen.p50:.1f}, "
        f"p99 {seen.p99:.1f}, p99.9 {seen.p999:.1f} ms, server CPU {seen.server_share:.0%}."
    )


def _stopped(item: Stopped) -> str:
    return (
        f"{item.workload}, {item.stopped} stop reading at half load: the others' p99 {item.before.p99:.1f} → "
        f"{item.during.p99:.1f} ms, memory +{item.growth / 2**20:.1f} MiB "
        f"(bound {item.bound / 2**20:.0f} MiB), {item.closed} closed with 4408."
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    padded = [
        "| " + " | ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([padded[0], rule, *padded[1:]])
