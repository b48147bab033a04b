"""The seed's incident beside the deployment, with Bonghwa's own gateway saturated at the same time.

The faulty service is the demonstration's: a hot loop, a log flood, a failing health check, in a container
without limits. Meanwhile a busy loop takes what the owner gateway's container may take: one core.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any

import docker
import httpx
from docker.models.containers import Container

from examples.outage import image
from tests.conditions import wait_until
from tests.deploy.deployment import Deployment, gateway_owner, incidents
from tests.deploy.prove.table import Line
from tests.deploy.prove.usage import usage
from tests.deploy.prove.visitor import Visitor
from tests.faults.reader import Reader
from tests.receiver import Receiver

PART = "saturation"
SERVICE = "api-gateway"
#: Seconds in which the service is well and seen well.
WELL_S = 30
#: Seconds of both loads, and how long pages are asked for before them.
BURN_S = 120
BEFORE_S = 30.0
TOLD_WITHIN_S = 60.0
PAGE_P99_MS = 200.0
#: Longest pause between two rows of a busy symbol at an end user.
ROW_PAUSE_S = 5.0
SECOND_NS = 1_000_000_000
#: The Engine's weight of a container that asks for none.
DEFAULT_SHARES = 1024
BURN = f"import time; end = time.monotonic() + {BURN_S}\nwhile time.monotonic() < end: pass"


def play(
    one: Deployment, browser: httpx.Client, receiver: Receiver, reader: Reader, slack: float
) -> Iterator[Line]:
    """Yield a line for each promise; ``slack`` stretches the times, on a busy machine."""
    visitor = Visitor(browser)
    with closing(docker.DockerClient(base_url=one.host, timeout=120)) as client, visitor.visiting():
        known = set(_numbers(browser))
        with a_trading_site(client) as site:
            quiet = time.monotonic()
            time.sleep(BEFORE_S)
            yield Line(PART, "pages before", str(visitor.between(quiet, time.monotonic())))
            _well(browser)
            owner = gateway_owner(one)
            wall = _first_error(site)
            _burn(one, client, owner)
            began, rows = time.monotonic(), reader.rows
            pause = _longest_pause(reader, BURN_S / 2)
            used = usage(one, BURN_S / 4)
            pause = max(pause, _longest_pause(reader, began + BURN_S - time.monotonic()))
            ended = time.monotonic()
            seen = f"{used[f'{owner}_1'].cpu_percent:.0f} % and {_cpu(site, ended - began):.0f} %"
            yield Line(PART, f"processor of {owner} and of {SERVICE}", seen)
            during, promise = visitor.between(began, ended), PAGE_P99_MS * slack
            yield Line(PART, "pages meanwhile", str(during), f"p99 < {promise:g} ms", during.p99 < promise)
            for page, times in visitor.by_page(began, ended).items():
                yield Line(PART, f"  {page}", str(times))
            yield Line(PART, "answers that failed", str(dict(visitor.failed) or 0), "0", not visitor.failed)
            yield from _told(browser, receiver, known, wall, slack)
            seen = f"{reader.rows - rows} rows, longest pause {pause:.1f} s"
            promise = ROW_PAUSE_S * slack
            yield Line(PART, "rows of a busy symbol", seen, f"≤ {promise:g} s", pause <= promise)


def compare(one: Deployment, browser: httpx.Client) -> Iterator[Line]:
    """Take every container's weight away and play it once more; what pages then take is no promise."""
    visitor = Visitor(browser)
    with closing(docker.DockerClient(base_url=one.host, timeout=120)) as client:
        for container in one.all_containers():
            client.api.update_container(str(container.id), cpu_shares=DEFAULT_SHARES)
        with visitor.visiting(), a_trading_site(client) as site:
            owner = gateway_owner(one)
            _first_error(site)
            _burn(one, client, owner)
            began = time.monotonic()
            time.sleep(BURN_S)
            seen = str(visitor.between(began, time.monotonic()))
    yield Line(PART, "pages meanwhile, without cpu_shares", seen)


def _told(
    browser: httpx.Client, receiver: Receiver, known: set[int], wall: float, slack: float
) -> Iterator[Line]:
    new = [found for found in incidents(browser) if found["number"] not in known]
    named = [found for found in new if SERVICE in found["services"]]
    promise = TOLD_WITHIN_S * slack
    opened = [datetime.fromisoformat(found["opened_at"]).timestamp() - wall for found in named]
    seen = f"{opened[0]:.1f} s" if opened else "none"
    yield Line(PART, "incident opened", seen, f"≤ {promise:g} s", bool(opened) and opened[0] <= promise)
    arrived = [one for one in list(receiver.messages) if one["arrived"] >= wall and SERVICE in str(one)]
    seen = f"{arrived[0]['arrived'] - wall:.1f} s" if arrived else "none"
    holds = bool(arrived) and arrived[0]["arrived"] - wall <= promise
    yield Line(PART, "message delivered", seen, f"≤ {promise:g} s", holds)
    seen = f"{len(named)}, {len(arrived)} messages"
    yield Line(PART, f"incidents of {SERVICE}", seen, "1", len(named) == 1)
    others = [f"{found['title']}: {', '.join(found['services'])}" for found in new if found not in named]
    yield Line(PART, "other incidents", "; ".join(others) or "0")


@contextmanager
def a_trading_site(client: docker.DockerClient) -> Iterator[Container]:
    """Run the faulty service until the block ends; it is well for ``WELL_S``."""
    image.build(client)
    check = {"test": ["CMD", "/usr/bin/python3", "-S", "/app/health.py"], "retries": 3}
    container = client.containers.run(
        image.IMAGE,
        name=SERVICE,
        environment={
            "OUTAGE_HOST": "0.0.0.0",  # noqa: S104 - of the container
            "OUTAGE_HEALTHY_SECONDS": str(WELL_S + int(BEFORE_S)),
            "OUTAGE_SECONDS": str(WELL_S + int(BEFORE_S) + BURN_S + 60),
        },
        healthcheck={**check, "interval": 2 * SECOND_NS, "timeout": 1 * SECOND_NS},
        cap_drop=["ALL"],
        detach=True,
    )
    try:
        yield container
    finally:
        container.remove(force=True)


def _well(browser: httpx.Client) -> None:
    def seen() -> bool:
        rows = {row["name"]: row for row in browser.get("/api/v1/services").json()}
        return bool(rows.get(SERVICE, {}).get("health") == "healthy")

    wait_until(seen, WELL_S, f"{SERVICE} is seen healthy", 1)


def _first_error(container: Container) -> float:
    """Wait until the service is ill; return the unix time of its first line about it."""
    for line in container.logs(stream=True, timestamps=True, follow=True):
        stamp, _, text = bytes(line).decode().partition(" ")
        if text.startswith("ERROR"):
            # Nine digits of a second are more than Python reads.
            return (
                datetime.strptime(stamp[:26] + "+0000", "%Y-%m-%dT%H:%M:%S.%f%z").astimezone(UTC).timestamp()
            )
    raise AssertionError(f"{SERVICE} ended before it was ill")


def _burn(one: Deployment, client: docker.DockerClient, owner: str) -> None:
    """Take all that a gateway's container may take, for ``BURN_S``."""
    client.containers.get(f"{one.project}_{owner}_1").exec_run(["python", "-c", BURN], detach=True)


def _longest_pause(reader: Reader, seconds: float) -> float:
    """Watch for so many seconds; return the longest time without a row."""
    longest, until = 0.0, time.monotonic() + seconds
    while (now := time.monotonic()) < until:
        longest = max(longest, now - reader.last_row)
        time.sleep(0.1)
    return longest


def _cpu(container: Container, seconds: float) -> float:
    """Return what a container has taken since it began, in per cent of a core over so many seconds."""
    said: Any = container.stats(stream=False)
    total: float = said["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9
    return 100 * total / seconds


def _numbers(browser: httpx.Client) -> list[int]:
    return [found["number"] for found in incidents(browser)]
