"""Healthy load with deployments for an hour: nothing is told, since nothing is wrong."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random

from incidents.models import Incident
from portal.monitoring.models import Alert
from tests.proof import deploys, seen
from tests.proof.world import World

LOOK_S = 1.0
WELL_WITHIN_S = 180.0
#: Seconds between two operations, and after the last one for what comes late.
EVERY_S = (12.0, 28.0)
SETTLE_S = 60.0
SUMMARY_S = 300.0


def main(world: World, arguments: Sequence[str]) -> int:
    """Soak for ``--minutes``. Returns 0 when no incident opened, 1 otherwise."""
    options = _options(arguments)
    deploys.start(world)
    deadline = time.monotonic() + WELL_WITHIN_S
    while waiting := seen.not_yet_well(deploys.NAMES):
        if time.monotonic() > deadline:
            raise AssertionError(f"not seen well within {WELL_WITHIN_S:g} s: {', '.join(waiting)}")
        time.sleep(LOOK_S)
    print(
        f"{len(deploys.NAMES)} services are well; {options.minutes:g} minutes, seed {options.seed}.",
        flush=True,
    )
    since = datetime.now(UTC)
    done = _soak(world, since, options.minutes * 60, Random(options.seed))  # noqa: S311 - an order that can be repeated
    return _summary(world, since, done, options.minutes)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1, help="the order of the operations")
    return parser.parse_args(arguments)


def _soak(world: World, since: datetime, seconds: float, random: Random) -> Counter[str]:
    """Do one thing after the other; print incidents as they open. Returns how often each was done."""
    done: Counter[str] = Counter()
    began = time.monotonic()
    following, summary = began, began + SUMMARY_S
    told: set[int] = set()
    kinds: list[str] = []
    while (now := time.monotonic()) < began + seconds + SETTLE_S:
        if now >= following and now < began + seconds:
            # Every kind of operation once in a random order, then all of them again.
            kinds = kinds or random.sample(sorted(deploys.OPERATIONS), len(deploys.OPERATIONS))
            kind = kinds.pop()
            text = deploys.OPERATIONS[kind](world, random)
            done[kind] += 1
            print(f"{now - began:6.0f} s  {text}", flush=True)
            following = time.monotonic() + random.uniform(*EVERY_S)
        for incident in _incidents(since):
            if incident.number not in told:
                told.add(incident.number)
                print(f"{now - began:6.0f} s  FALSE INCIDENT  {incident}", flush=True)
        if now >= summary:
            summary += SUMMARY_S
            print(f"{now - began:6.0f} s  {sum(done.values())} operations, {len(told)} incidents", flush=True)
        time.sleep(LOOK_S)
    return done


def _incidents(since: datetime) -> list[Incident]:
    return seen.others((), since)


def _summary(world: World, since: datetime, done: Counter[str], minutes: float) -> int:
    incidents = _incidents(since)
    alerts = list(Alert.objects.filter(opened_at__gte=since).order_by("opened_at"))
    unseen = seen.not_yet_well(deploys.NAMES)
    print(f"\n{minutes:g} minutes, {sum(done.values())} operations on {len(deploys.NAMES)} services:")
    for kind, count in sorted(done.items()):
        print(f"  {kind:<14}{count:>5}")
    print(f"incidents {len(incidents)}, messages {len(world.receiver.messages)}, alerts {len(alerts)}")
    for incident in incidents:
        print(f"FALSE  {incident.opened_at:%H:%M:%S} UTC  {incident}")
    for alert in alerts:
        print(f"alert  {alert.opened_at:%H:%M:%S} UTC  {alert.text}")
    if unseen:
        print(f"not well at the end: {', '.join(unseen)}")
    good = not incidents and not world.receiver.messages and not unseen
    print("Nothing false was told." if good else "Something false was told.")
    return 0 if good else 1
