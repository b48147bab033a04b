"""Healthy load for half an hour: clients, pages, deployments. Nothing may be told, nothing may grow.

Parts: ``deploys`` (containers come and go, no incident opens) and ``feed`` (clients at half the benchmark's
load). What the product holds is looked at whichever parts are played.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from incidents.models import Incident
from portal.monitoring.models import Alert
from tests.conditions import wait_until
from tests.proof import deploys, footprint, leaks, seen
from tests.proof.feedload import CLIENTS, ROWS_PER_S, Feed, Upstream
from tests.proof.visitor import Visitor
from tests.proof.world import World

LOOK_S = 1.0
WELL_WITHIN_S = 180.0
#: Seconds between two operations, and after the last one for what comes late.
EVERY_S = (12.0, 28.0)
SETTLE_S = 60.0
SUMMARY_S = 300.0


PARTS = ("deploys", "feed")
#: Seconds between two looks at what the product holds, and of quiet before the looks at rest.
EVERY_LOOK_S, REST_S = 10.0, 30.0
#: Rounds of clients that come and go before anything counts: the web process holds 186 MiB after the first
#: one, 194 MiB after five and 199 MiB after ten to thirteen.
WARM_UP_ROUNDS = 10
#: Looks at rest, a second apart: more than a sweep takes.
RESTING_LOOKS = 12
#: Share of the time that is the warm-up: caches fill, and workers load what their first tasks need.
WARM_UP_SHARE = 1 / 3


def main(world: World, arguments: Sequence[str], upstream: Upstream) -> int:
    """Soak for ``--minutes``. Returns 0 when nothing was told, nothing grew and no log holds an error."""
    options = _options(arguments)
    names = deploys.NAMES if "deploys" in options.parts else ()
    seconds = options.minutes * 60
    with ExitStack() as stack:
        if "feed" in options.parts:
            stack.enter_context(upstream.serving())
        if names:
            deploys.start(world)
            _wait_until_well()
        feed = None
        if "feed" in options.parts:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bw-soak-")))
            feed = Feed(world.product, upstream, folder, options.clients, options.rate)
            for _ in range(WARM_UP_ROUNDS):
                feed.once(1)
        visitor = Visitor(world.product)
        visitor.warm_up()
        watch = footprint.Watch(world.product, EVERY_LOOK_S)
        before = _at_rest(watch)
        told = f"{len(names)} services are well; {options.minutes:g} minutes, seed {options.seed}."
        print(told, flush=True)
        since = datetime.now(UTC)
        with ExitStack() as busy:
            busy.enter_context(watch.looking())
            busy.enter_context(visitor.visiting())
            if feed is not None:
                busy.enter_context(feed.reading())
            began = watch.seconds
            order = Random(options.seed)  # noqa: S311 - an order that can be repeated
            done = _soak(world, since, seconds, order, names)
        if feed is not None:
            wait_until(
                lambda: watch.look().counts["web: clients"] == 0, 60, "the clients are gone", every=1.0
            )
        after = _at_rest(watch)
    quiet = _summary(world, since, done, options.minutes, names)
    samples = [one for one in watch.samples if one.at <= began + seconds]
    lines = leaks.judge(samples, began + seconds * WARM_UP_SHARE) + leaks.at_rest(before, after)
    errors = footprint.errors_in(world.product.folder)
    flat = _held(lines, errors, watch, visitor, feed)
    return 0 if quiet and flat else 1


def _at_rest(watch: footprint.Watch) -> list[leaks.Sample]:
    """Return looks at a product without clients, after a moment of quiet."""
    time.sleep(REST_S)
    looks = []
    for _ in range(RESTING_LOOKS):
        looks.append(watch.look())
        time.sleep(LOOK_S)
    return looks


def _wait_until_well() -> None:
    deadline = time.monotonic() + WELL_WITHIN_S
    while waiting := seen.not_yet_well(deploys.NAMES):
        if time.monotonic() > deadline:
            raise AssertionError(f"not seen well within {WELL_WITHIN_S:g} s: {', '.join(waiting)}")
        time.sleep(LOOK_S)


def _held(
    lines: Sequence[leaks.Line],
    errors: Sequence[str],
    watch: footprint.Watch,
    visitor: Visitor,
    feed: Feed | None,
) -> bool:
    """Print what the product held, carried and wrote; return whether all of it is as it should be."""
    print(f"\n{leaks.table(lines)}\n")
    print(f"pages: {', '.join(f'{count} × {what}' for what, count in sorted(visitor.answers.items()))}")
    if feed is not None:
        print(f"feed: {feed}{f'; FAILED: {feed.failed}' if feed.failed else ''}")
    for line in watch.failed[: footprint.SHOWN]:
        print(f"no look at {line}")
    print(f"error lines in the logs: {len(errors)}")
    for line in errors[: footprint.SHOWN]:
        print(f"  {line}")
    growing = [one.name for one in lines if not one.ok]
    print(f"Growing: {', '.join(growing)}." if growing else "Nothing grew.")
    carried = feed is None or (not feed.failed and not feed.dead)
    return not growing and not errors and carried and set(visitor.answers) <= {"200"}


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long (30)")
    parser.add_argument("--seed", type=int, default=1, help="the order of the operations")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=PARTS, help="what is played (everything)"
    )
    parser.add_argument("--clients", type=int, default=CLIENTS, help=f"end users of the feed ({CLIENTS:,})")
    parser.add_argument(
        "--rate", type=float, default=ROWS_PER_S, help=f"rows a second into the gateway ({ROWS_PER_S:,.0f})"
    )
    return parser.parse_args(arguments)


def _soak(
    world: World, since: datetime, seconds: float, random: Random, names: Sequence[str]
) -> Counter[str]:
    """Do one thing after the other; print incidents as they open. Returns how often each was done."""
    done: Counter[str] = Counter()
    began = time.monotonic()
    following, summary = began, began + SUMMARY_S
    told: set[int] = set()
    kinds: list[str] = []
    while (now := time.monotonic()) < began + seconds + SETTLE_S:
        if names and now >= following and now < began + seconds:
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


def _summary(world: World, since: datetime, done: Counter[str], minutes: float, names: Sequence[str]) -> bool:
    incidents = _incidents(since)
    alerts = list(Alert.objects.filter(opened_at__gte=since).order_by("opened_at"))
    unseen = seen.not_yet_well(names)
    print(f"\n{minutes:g} minutes, {sum(done.values())} operations on {len(names)} services:")
    for kind, count in sorted(done.items()):
        print(f"  {kind:<14}{count:>5}")
    print(f"incidents {len(incidents)}, messages {len(world.receiver.messages)}, alerts {len(alerts)}")
    for message in world.receiver.messages[: footprint.SHOWN]:
        print(f"message  {message['title']}")
    for incident in incidents:
        print(f"FALSE  {incident.opened_at:%H:%M:%S} UTC  {incident}")
    for alert in alerts:
        print(f"alert  {alert.opened_at:%H:%M:%S} UTC  {alert.text}")
    if unseen:
        print(f"not well at the end: {', '.join(unseen)}")
    good = not incidents and not world.receiver.messages and not unseen
    print("Nothing false was told." if good else "Something false was told.")
    return good
