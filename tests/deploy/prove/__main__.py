"""``python -m tests.deploy.prove [options]``: proofs on the deployment of compose.yaml."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import httpx

from tests.deploy.deployment import Deployment, prepared, signed_in, tell
from tests.deploy.prove import replicas, rest, restore, saturation, upgrade
from tests.deploy.prove.crowd import Crowd
from tests.deploy.prove.table import Line, show
from tests.receiver import Receiver, receiving

PARTS = (rest.PART, replicas.PART, upgrade.PART, saturation.PART, restore.PART)
CLIENTS = 2000
BUSY = "005930"


def main() -> int:
    """Return 0 when every promise was kept, 1 when not, 2 when it cannot be proved here, 130 after Ctrl-C."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if missing := _missing():
        print(f"This cannot be proved here: {missing}", file=sys.stderr)
        return 2
    lines: list[Line] = []
    try:
        for line in _prove(options):
            print("  ".join(line.cells), flush=True)
            lines.append(line)
    except AssertionError as error:
        lines.append(Line("-", "went on to the end", str(error)[:2000], "yes", False))
    except KeyboardInterrupt:
        print("\nInterrupted; everything that was started is stopped and removed.", file=sys.stderr)
        return 130
    return 0 if show(lines) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make prove-fleet")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument("--clients", type=int, default=CLIENTS, help="end users of the feed")
    parser.add_argument(
        "--unweighted",
        action="store_true",
        help="then saturated once more without the weights of compose.yaml",
    )
    parser.add_argument("--slack", type=float, default=1.0, help="stretches the times, on a busy machine")
    found = parser.parse_args()
    found.only = tuple(found.only.split(","))
    if unknown := set(found.only) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return found


def _missing() -> str:
    """Return what this machine lacks."""
    if os.geteuid() != 0:
        return "root is needed, to start an Engine of its own in a network namespace"
    programs = ("dockerd", "docker", "docker-compose", "mmdebstrap", "ip", "nsenter", "make")
    missing = [name for name in programs if shutil.which(name) is None]
    return f"programs are missing: {', '.join(missing)}" if missing else ""


def _prove(options: argparse.Namespace) -> Iterator[Line]:
    # Everybody comes from one address and with one key here.
    room = str(options.clients + 500)
    names = ("FEED_MAX_CONNECTIONS", "FEED_MAX_CONNECTIONS_PER_KEY", "FEED_MAX_CONNECTIONS_PER_ADDRESS")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bw-fleet-")))
        print("Making images and an Engine …", flush=True)
        given = {"IMAGE": upgrade.LATEST, **dict.fromkeys(names, room)}
        one = stack.enter_context(prepared(folder / "bonghwa", **given))
        upgrade.name_the_release(one)
        receiver = stack.enter_context(receiving(one.outside))
        tell(one, receiver.channel)
        yield from rest.start(one, options.slack)
        if rest.PART in options.only:
            yield from rest.play(one)
        browser = stack.enter_context(closing(signed_in(one)))
        yield from _with_clients(one, browser, receiver, options)
        if restore.PART in options.only:
            yield from restore.play(one)


def _with_clients(
    one: Deployment, browser: httpx.Client, receiver: Receiver, options: argparse.Namespace
) -> Iterator[Line]:
    crowd = Crowd(one)
    with crowd.reading():
        if replicas.PART in options.only:
            yield from replicas.play(one, browser, crowd, options.clients, options.slack)
            crowd.leave()
            one.compose("up", "-d", "--no-recreate", "--scale", "web=1")
        if upgrade.PART in options.only:
            yield from upgrade.play(one, browser, receiver, crowd, options.clients // 10, options.slack)
            crowd.leave()
        if saturation.PART in options.only:
            (reader,) = crowd.come(1, items=[BUSY])
            yield from saturation.play(one, browser, receiver, reader, options.slack)
            if options.unweighted:
                yield from saturation.compare(one, browser)


if __name__ == "__main__":
    sys.exit(main())
