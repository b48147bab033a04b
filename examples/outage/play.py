"""Plays the outage: start, watch, then what people do until the incident is closed; judge."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import httpx
from django.conf import settings
from django.urls import reverse

from examples.outage import acts, people, stage, watch
from examples.outage.outcome import Outcome
from incidents.models import Incident, NotificationKind
from incidents.reports import render
from incidents.roles import EDITOR, OPERATOR

T = TypeVar("T")
OPEN_WITHIN_S = 60.0
DRAFT_WITHIN_S = 45.0
#: Two sweeps more, for a portal that told early.
MEASURED_WITHIN_S = 15.0
MEASURED = ("CPU", "memory", "streak", "log rate", "top template")
#: A loop that never sleeps takes this much even of a machine that others use.
HOT_PERCENT = 50.0
TOP_TEMPLATE = "WebSocket connection timeout"


def main(arguments: Sequence[str] | None = None) -> int:
    """Play once. Returns 0 when every expectation was met, 1 when not, 2 when it cannot be played."""
    parser = argparse.ArgumentParser(prog="make demo-outage", description=__doc__)
    parser.add_argument("--hold", type=float, default=10.0, help="seconds to keep burning after the draft")
    parser.add_argument("--lang", choices=("ko", "en"), default="ko", help="language of the printed report")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if not _system_is_ready():
        return 2
    place = stage.choose(settings.DOCKER_HOST, settings.DATA_DIR)
    try:
        with people.Cast(_address(), options.lang) as cast:
            return _play(place, cast, options.hold, options.lang)
    except stage.StageError as error:
        print(f"The outage cannot be played: {error}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nInterrupted; cleaning up.", file=sys.stderr)
        return 130
    finally:
        place.clear()


def _address() -> str:
    """Return where people sign in: behind HTTPS, session cookies are not sent to the plain port."""
    secure = settings.SESSION_COOKIE_SECURE
    return str(settings.PUBLIC_URL).rstrip("/") if secure else f"http://127.0.0.1:{settings.PORT}"


def _system_is_ready() -> bool:
    address = f"http://127.0.0.1:{settings.PORT}/health/ready"
    try:
        answer = httpx.get(address, timeout=5)
    except httpx.HTTPError as error:
        print(f"Nothing answers at {address} ({error}). Start `make run` first.", file=sys.stderr)
        return False
    if answer.status_code != httpx.codes.OK:
        print(f"{address} says {answer.status_code}: {answer.text[:300]}", file=sys.stderr)
        return False
    return True


def _play(place: stage.Stage, cast: people.Cast, hold: float, lang: str) -> int:
    outcome = Outcome()
    kind = (
        "a container of the Docker Engine" if place.runtime == "docker" else "a process (no Engine answers)"
    )
    operator, editor = cast.enter(OPERATOR), cast.enter(EDITOR)
    print(f"Starting {stage.SERVICE} as {kind}: healthy for 5 s, then its upstream dies.")
    print("It is bounded: one core, 768 MiB, about 480 log lines/s, ends by itself after 5 minutes.\n")
    started = place.start()
    seen = watch.Watch(place.runtime, datetime.fromtimestamp(started, UTC))
    print(watch.HEADER)

    incident = _watch(seen, started, OPEN_WITHIN_S + 30, lambda: next(iter(seen.incidents()), None))
    if incident is None:
        outcome.expect(False, "incident within 60 s of the start", "none")
        print(f"\n{outcome.table()}")
        return 1
    took = (incident.burning_since - seen.since).total_seconds()
    outcome.expect(
        took <= OPEN_WITHIN_S, f"incident within {OPEN_WITHIN_S:g} s of the start", f"{took:.1f} s"
    )
    drafted = _watch(seen, started, DRAFT_WITHIN_S, lambda: _drafted(incident))
    _watch(seen, started, hold, lambda: None)
    _watch(seen, started, MEASURED_WITHIN_S, lambda: not _unmeasured(seen.look()))
    _expect_measured(outcome, seen.look())
    outcome.expect(
        seen.peak >= HOT_PERCENT,
        f"CPU of a hot loop, at its peak {HOT_PERCENT:g} % of a core",
        f"{seen.peak:.0f} %",
    )
    print(f"\n{settings.PUBLIC_URL}{reverse('incident', args=[incident.number])}\n")
    text = render(incident, "summary", "md", lang) if drafted else ""
    missing = [word for word in (stage.SERVICE, TOP_TEMPLATE) if word not in text]
    outcome.expect(not missing, "draft names the service and the top template", ", ".join(missing) or "both")
    files: list[Path] = []
    if drafted:
        played = acts.Acts(
            place=place,
            incident=incident,
            operator=operator,
            editor=editor,
            outcome=outcome,
            wait=lambda timeout, done: _watch(seen, started, timeout, done),
            lang=lang,
            folder=settings.DATA_DIR / "reports",
        )
        try:
            played.play()
        except stage.StageError as error:
            outcome.expect(False, "played to the end", str(error))
        files = played.files
    _watch(seen, started, 15, lambda: seen.messages(NotificationKind.RESOLVED))
    _expect_counts(outcome, seen)
    print(f"\n{outcome.table()}")
    for path in files:
        print(f"written: {path}")
    return 0 if outcome.good else 1


def _watch(seen: watch.Watch, started: float, timeout: float, done: Callable[[], T | None]) -> T | None:
    """Print one line a second until ``done`` returns something true, for at most ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        print(seen.look().line(round(time.time() - started)), flush=True)
        if found := done():
            return found
        time.sleep(1)
    return None


def _drafted(incident: Incident) -> bool:
    return Incident.objects.filter(pk=incident.pk, report__drafted_at__gte=incident.burning_since).exists()


def _unmeasured(sight: watch.Sight) -> list[str]:
    values = (sight.cpu_percent, sight.memory_mib, sight.streak, sight.lines_per_s, sight.template)
    return [name for name, value in zip(MEASURED, values, strict=True) if not value]


def _expect_measured(outcome: Outcome, sight: watch.Sight) -> None:
    missing = _unmeasured(sight)
    cpu, memory, rate = sight.cpu_percent, sight.memory_mib, sight.lines_per_s
    numbers = (
        f"CPU {cpu:.0f} %, {memory:.0f} MiB, streak {sight.streak}, {rate:.0f} lines/s, “{sight.template}”"
        if cpu is not None and memory is not None and rate is not None
        else ""
    )
    outcome.expect(not missing, "measured: " + ", ".join(MEASURED), ", ".join(missing) or numbers)


def _expect_counts(outcome: Outcome, seen: watch.Watch) -> None:
    opened = len(seen.incidents())
    outcome.expect(opened == 1, "incidents opened", str(opened))
    for kind in (NotificationKind.OPENED, NotificationKind.RESOLVED):
        messages = seen.messages(kind)
        states = ", ".join(sorted({message.get_state_display() for message in messages}))
        outcome.expect(len(messages) == 1, f"messages: {kind.label}", f"{len(messages)} ({states or 'none'})")
