"""Invented results, good in every respect unless told otherwise."""

from dataclasses import replace

from bench.load import Sample
from bench.scenarios import Capacity, FromUpstream, Idle, Stopped, Workload
from bench.targets import Results

SMALL, LARGE = Workload(200, 1), Workload(1000, 20)
SAMPLE = Sample(
    seconds=2.0,
    offered=50_000,
    published=60_000,
    delivered=8_000_000,
    frames=100_000,
    bytes=4_400_000_000,
    lost=0,
    wrong=0,
    p50=1.0,
    p99=5.0,
    p999=6.0,
    worst=7.0,
    late=1.0,
    server_cpu=2.0,
    own_cpu=0.8,
    rss=100_000_000,
    rss_peak=110_000_000,
    dead=0,
)


def capacity(system="Bonghwa", workload=SMALL, *, delivered=8_000_000, **half):
    """Return a capacity with ``half``'s values changed in the sample at half load."""
    return Capacity(
        system=system,
        workload=workload,
        saturated=replace(SAMPLE, delivered=delivered),
        half=replace(SAMPLE, **half),
        connection_bytes=20_000.0,
    )


IDLE = Idle(clients=5000, connection_bytes=30_000.0, connect_ms=1.0, spread=replace(SAMPLE, p99=50.0))
STOPPED = Stopped(
    workload=SMALL, stopped=10, before=SAMPLE, during=SAMPLE, growth=10_000_000, bound=30_000_000, closed=10
)
GOOD = Results(
    own=[capacity(), capacity(workload=LARGE)],
    others=[capacity("nginx + nchan", load, delivered=800_000) for load in (SMALL, LARGE)],
    skipped=[("Node, ws", "node is not installed")],
    idle=IDLE,
    stopped=[STOPPED],
    upstream=[FromUpstream(workload=SMALL, rate=2000.0, sample=SAMPLE, gateway_us=12.0)],
)
