"""``make bench-logflood``: what a log flood costs the portal, and how many messages it sends.

One container of a real Docker Engine writes matching lines as fast as is asked for. The whole product runs
beside it and is measured: messages to people, CPU of all its processes, their memory, and whether sweeps or
pages stall. Exit 1 when a limit is missed, 2 when it cannot run.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import docker
import httpx
from docker.errors import DockerException

from bench import machine
from bench.processes import BenchError, Meter
from bench.product import Product, Receiver
from examples.outage import image

NAME = "bonghwa-bench-flood"
#: Seconds of quiet before the measurements, of the one without a flood, and of waiting for late messages.
SETTLE_S, IDLE_S, AFTER_S = 20.0, 20.0, 15.0
#: Limits: messages, cores, MiB over the idle product, seconds between two sweeps (three periods), part of
#: the asked rate that the container must have reached.
MESSAGES, CORES, GROWTH_MIB, SWEEP_S, REACHED = 2, 0.3, 150.0, 15.0, 0.95
FLOOD = """
import sys, time
rate, seconds = int(sys.argv[1]), float(sys.argv[2])
began = time.monotonic(); n = 0
while (gone := time.monotonic() - began) < seconds:
    due = int(gone * rate)
    line = "WARNING upstream: WebSocket connection timeout, attempt"
    sys.stdout.write("".join(f"{line} {k}\\n" for k in range(n, due)))
    sys.stdout.flush(); n = due
    time.sleep(0.02)
print("wrote", n, "lines in", round(time.monotonic() - began, 2), flush=True)
time.sleep(3600)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured. CPU in cores (CPU seconds by wall seconds), memory in MiB, times in seconds."""

    lines: int
    lines_per_s: float
    messages: int
    incidents: int
    cores: float
    idle_cores: float
    peak_mib: float
    idle_mib: float
    longest_between_sweeps_s: float
    slowest_health_s: float
    unready: int
    foreign_cores: float


@dataclass(slots=True)
class Watch:
    """Looks at the running product once a second."""

    product: Product
    peak: float = 0.0
    sweep_at: str = ""
    changed: float = 0.0
    longest: float = 0.0
    slowest: float = 0.0
    unready: int = 0

    def watch(self, seconds: float) -> float:
        """Look for so long and return the cores that the product used meanwhile."""
        began, used = time.monotonic(), self.product.cpu_seconds()
        self.changed = began
        while (now := time.monotonic()) - began < seconds:
            self._look(now)
            time.sleep(max(0.0, 1.0 - (time.monotonic() - now)))
        return (self.product.cpu_seconds() - used) / (time.monotonic() - began)

    def _look(self, now: float) -> None:
        at = self.product.last_sweep()
        if at != self.sweep_at:
            self.sweep_at, self.changed = at, now
        self.longest = max(self.longest, now - self.changed)
        self.peak = max(self.peak, self.product.memory_mib())
        started = time.monotonic()
        try:
            ready = httpx.get(f"{self.product.url}/health/ready", timeout=10).status_code == httpx.codes.OK
        except httpx.HTTPError:
            ready = False
        self.slowest = max(self.slowest, time.monotonic() - started)
        self.unready += not ready


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; see the module."""
    parser = argparse.ArgumentParser(prog="make bench-logflood ARGS=…", description=__doc__)
    parser.add_argument("--rate", type=int, default=10_000, help="lines a second (10,000)")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the flood (60)")
    parser.add_argument("--docker-host", default="", help="Engine (DOCKER_HOST, or the default socket)")
    parser.add_argument("--json", help="also write the figures to this file")
    options = parser.parse_args(arguments)
    try:
        figures = measure(
            options.rate, options.seconds, options.docker_host or os.environ.get("DOCKER_HOST", "")
        )
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {machine.describe()}.")
    verdicts = judge(figures, options.rate)
    width = max(len(what) for what, _seen, _met in verdicts)
    for what, seen, met in verdicts:
        print(f"{'ok  ' if met else 'FAIL'}  {what:<{width}}  {seen}")
    print(f"      other processes of the machine meanwhile: {figures.foreign_cores:.1f} cores")
    if options.json:
        Path(options.json).write_text(json.dumps(asdict(figures), indent=1))
    return 0 if all(met for _what, _seen, met in verdicts) else 1


def judge(figures: Figures, rate: int) -> list[tuple[str, str, bool]]:
    """Return each limit with what was seen and whether it was met."""
    grown = figures.peak_mib - figures.idle_mib
    return [
        (
            f"flood reaches {REACHED:.0%} of {rate:,} lines/s",
            f"{figures.lines:,} lines, {figures.lines_per_s:,.0f}/s",
            figures.lines_per_s >= REACHED * rate,
        ),
        ("one incident", str(figures.incidents), figures.incidents == 1),
        (f"at most {MESSAGES} messages", str(figures.messages), 1 <= figures.messages <= MESSAGES),
        (
            f"CPU of all processes below {CORES} core",
            f"{figures.cores:.3f} (idle {figures.idle_cores:.3f})",
            figures.cores < CORES,
        ),
        (
            f"memory grows by less than {GROWTH_MIB:.0f} MiB",
            f"{grown:+.0f} MiB (idle {figures.idle_mib:.0f} MiB)",
            grown < GROWTH_MIB,
        ),
        (
            f"a sweep at least each {SWEEP_S:.0f} s",
            f"{figures.longest_between_sweeps_s:.1f} s at most",
            figures.longest_between_sweeps_s <= SWEEP_S,
        ),
        (
            "/health/ready stays green",
            f"{figures.unready} failures, slowest {figures.slowest_health_s:.2f} s",
            figures.unready == 0,
        ),
    ]


def measure(rate: int, seconds: float, docker_host: str) -> Figures:
    """Run the product and the flood.

    Raises:
        BenchError: no Engine answers, or the product does not start.
    """
    client = engine(docker_host)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="bw-") as folder,
            Receiver() as receiver,
            Product(Path(folder), docker_host=docker_host, channel=receiver.url) as product,
        ):
            return _measure(client, product, receiver, rate, seconds)
    finally:
        _remove(client)
        client.close()


def _measure(
    client: docker.DockerClient, product: Product, receiver: Receiver, rate: int, seconds: float
) -> Figures:
    image.build(client)
    time.sleep(SETTLE_S)
    watch = Watch(product)
    idle_cores = watch.watch(IDLE_S)
    idle_mib, watch.peak = watch.peak, 0.0
    meter = Meter()
    command = ["/usr/bin/python3", "-S", "-c", FLOOD, str(rate), str(seconds)]
    container = client.containers.run(image.IMAGE, command, name=NAME, detach=True)
    cores = watch.watch(seconds)
    foreign = meter.foreign()
    time.sleep(AFTER_S)
    words = container.logs(tail=1).decode().split()
    if words[:1] != ["wrote"]:
        raise BenchError(f"the flood did not end in time: {words}")
    return Figures(
        lines=int(words[1]),
        lines_per_s=int(words[1]) / float(words[4]),
        messages=sum(NAME in json.dumps(message) for message in receiver.messages),
        incidents=sum(NAME in incident["services"] for incident in product.incidents()),
        cores=cores,
        idle_cores=idle_cores,
        peak_mib=watch.peak,
        idle_mib=idle_mib,
        longest_between_sweeps_s=watch.longest,
        slowest_health_s=watch.slowest,
        unready=watch.unready,
        foreign_cores=foreign,
    )


def engine(docker_host: str) -> docker.DockerClient:
    """Return a client of the Engine at ``docker_host``, the default socket when it is empty.

    Raises:
        BenchError: it does not answer.
    """
    try:
        client = docker.DockerClient(base_url=docker_host or "unix:///var/run/docker.sock", timeout=60)
        client.ping()
    except (DockerException, OSError) as error:
        raise BenchError(
            f"no Docker Engine answers at {docker_host or 'the default socket'} ({error})."
        ) from error
    _remove(client)
    return client


def _remove(client: docker.DockerClient) -> None:
    for old in client.containers.list(all=True, filters={"name": f"^/{NAME}$"}):
        old.remove(force=True)


if __name__ == "__main__":
    sys.exit(main())
