"""``web`` from one to three under many clients, then one of them killed: who notices, and for how long?"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing

import docker
import httpx

from tests.conditions import wait_until
from tests.deploy.deployment import HEALTHY_WITHIN_S, Deployment, all_healthy
from tests.deploy.prove import sizes
from tests.deploy.prove.crowd import ROW_WITHIN_S, Crowd, spread, told
from tests.deploy.prove.table import Line
from tests.deploy.prove.usage import usage
from tests.faults.reader import Reader

PART = "replicas"
REPLICAS = 3
NEW = 150
#: Seconds over which the clients' cost is measured.
LOOK_S = 30.0
#: Seconds after the new replicas are healthy until the load is even.
EVEN_WITHIN_S = 180.0
#: A replica may hold so much more or less than its share.
UNEVEN = 0.25
BACK_WITHIN_S = 30.0


def play(one: Deployment, browser: httpx.Client, crowd: Crowd, clients: int, slack: float) -> Iterator[Line]:
    """Yield a line for each promise; ``slack`` stretches the times, on a busy machine."""
    before = usage(one, 1.0)
    began = time.monotonic()
    crowd.come(clients)
    yield Line(PART, f"{clients} clients on one replica", f"after {time.monotonic() - began:.0f} s")
    after = usage(one, LOOK_S)
    for name in ("web_1", "nginx_1", "redis_1"):
        grown = (after[name].memory_mib - before[name].memory_mib) * 1024 / clients
        yield Line(
            PART,
            f"  {name} with them",
            f"{grown:.1f} KiB a client, {after[name].cpu_percent:.1f} % of a core",
        )
    yield from _scale(one, browser, crowd, slack)
    yield from _kill(one, browser, crowd, slack)


def _scale(one: Deployment, browser: httpx.Client, crowd: Crowd, slack: float) -> Iterator[Line]:
    old = list(crowd.readers)
    before = [each.returns for each in old]
    one.compose("up", "-d", "--no-recreate", "--scale", f"web={REPLICAS}")
    wait_until(
        lambda: len(spread(one, browser)) == REPLICAS and all_healthy(one), HEALTHY_WITHIN_S, "healthy", 1
    )
    began = time.monotonic()
    yield Line(PART, f"web scaled to {REPLICAS}, healthy", told(spread(one, browser)))
    crowd.come(NEW)
    yield Line(PART, f"{NEW} new clients later", told(spread(one, browser)))
    even = _even(one, browser, EVEN_WITHIN_S * slack)
    took = time.monotonic() - began
    seen = f"{told(spread(one, browser))} after {took:.0f} s"
    yield Line(PART, "the load spreads", seen, f"each ± {UNEVEN:.0%} of a third", even)
    moved = [each for each, count in zip(old, before, strict=True) if each.returns > count]
    longest = max((each.longest_away for each in moved), default=0.0)
    yield Line(PART, "clients that moved for it, longest away", f"{len(moved)}, {longest:.1f} s")
    yield Line(PART, f"PostgreSQL connections with {REPLICAS} of web", str(sizes.connections(one)))
    lost = crowd.all_read(ROW_WITHIN_S * slack)
    yield Line(PART, "clients lost", str(crowd.away() if lost is None else 0), "0", lost is not None)


def _even(one: Deployment, browser: httpx.Client, within: float) -> bool:
    def even() -> bool:
        counts = list(spread(one, browser).values())
        share = sum(counts) / len(counts)
        return share > 0 and all(abs(count - share) <= UNEVEN * share for count in counts)

    try:
        return wait_until(even, within, "even", 2)
    except AssertionError:
        return False


def _kill(one: Deployment, browser: httpx.Client, crowd: Crowd, slack: float) -> Iterator[Line]:
    counts = _settled(one, browser)
    victim = max(counts, key=lambda name: counts[name])
    before = [each.returns for each in crowd.readers]
    for each in crowd.readers:
        each.longest_away = 0.0
    with closing(docker.DockerClient(base_url=one.host, timeout=120)) as client:
        killed = time.monotonic()
        client.api.kill(f"{one.project}_{victim}")
    promise = BACK_WITHIN_S * slack
    moved = _back(crowd, killed, before, counts[victim], 2 * promise)
    last = max((each.back - killed for each in moved), default=float("inf"))
    seen = f"{len(moved)} of {counts[victim]}, the last after {last:.1f} s"
    holds = len(moved) >= counts[victim] and last <= promise
    yield Line(
        PART, f"{victim} killed: its clients are back with their topics", seen, f"≤ {promise:g} s", holds
    )
    began = time.monotonic()
    all_read = crowd.all_read(ROW_WITHIN_S * slack)
    yield Line(PART, "a row reaches every client afterwards", _after(all_read), "all", all_read is not None)
    others = sum(each.lost >= killed for each in crowd.readers) - len(moved)
    yield Line(PART, "clients of other replicas that noticed", str(others), "0", others == 0)
    yield Line(PART, "the load afterwards", told(spread(one, browser)))
    one.compose("up", "-d", "--no-recreate", "--scale", f"web={REPLICAS}")
    wait_until(lambda: all_healthy(one), HEALTHY_WITHIN_S, "healthy", 1)
    yield Line(PART, "a new replica in its place is healthy", _after(time.monotonic() - began))


def _settled(one: Deployment, browser: httpx.Client) -> Mapping[str, int]:
    """Return the spread once it no longer changes."""
    last: list[Mapping[str, int]] = []

    def settled() -> bool:
        last.append(spread(one, browser))
        return len(last) > 1 and last[-1] == last[-2] and sum(last[-1].values()) > 0

    wait_until(settled, 120, "nobody moves", 6)
    return last[-1]


def _back(
    crowd: Crowd, killed: float, before: Sequence[int], expected: int, within: float
) -> Sequence[Reader]:
    """Wait for those who lost their connection; return those who have their topic again."""

    def returned() -> Sequence[Reader]:
        pairs = zip(crowd.readers, before, strict=True)
        return [each for each, count in pairs if each.returns > count and each.back > killed]

    try:
        wait_until(lambda: len(returned()) >= expected and not crowd.away(), within, "all are back", 0.25)
    except AssertionError as error:
        print(error, flush=True)
    return returned()


def _after(seconds: float | None) -> str:
    return "not in time" if seconds is None else f"after {seconds:.1f} s"
