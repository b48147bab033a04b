"""The Engine's answer to ``events``: bytes to :class:`RuntimeEvent`. Pure.

The Engine keeps only its last ``RING`` events of every kind (each run of a health check is three of them), so
a window is read without a filter: only then can it be told whether something fell out before it was read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from portal.monitoring.logs import clean
from portal.monitoring.runtimes.base import EventWindow, RuntimeEvent
from portal.monitoring.runtimes.docker_api import container_name, labels

#: Events that the Engine remembers.
RING = 256
#: Seconds before the window's start that are read as well: the kill before an end, and events that were
#: stamped before the last read and written after it.
LOOK_BACK_S = 60.0
#: Seconds before an end within which a kill is its reason. A stop with a longer grace kills once more.
KILL_S = 60.0
#: What is kept; ``health_status`` carries its verdict behind a colon.
KEPT = ("die", "oom", "health_status", "start", "restart", "destroy")
#: Signals that ask for a reload, not for an end.
_HARMLESS = {"1", "10", "12", "17", "18", "23", "28", "HUP", "USR1", "USR2", "CHLD", "CONT", "URG", "WINCH"}


def parse(raw: bytes) -> list[Mapping[str, Any]]:
    """Return the events of an answer, oldest first; an incomplete last line is left for the next window."""
    found = []
    for line in raw.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and isinstance(event.get("timeNano"), int):
            found.append(event)
    return sorted(found, key=lambda event: event["timeNano"])


def window(events: Sequence[Mapping[str, Any]], *, since: datetime, until: datetime) -> EventWindow:
    """Return what happened to containers up to ``until``, from ``LOOK_BACK_S`` before ``since`` on.

    The caller drops what it has already (``RuntimeEvent.key``). ``lost``: the Engine may have forgotten
    something that happened after ``since``.
    """
    lost = len(events) >= RING and _at(events[0]) > since
    ends = _Ends(events)
    found = []
    for event in events:
        actor = event.get("Actor") or {}
        action, _colon, verdict = str(event.get("Action", "")).partition(": ")
        if event.get("Type", "container") != "container" or action not in KEPT:
            continue
        attributes = actor.get("Attributes") or {}
        runtime_id = str(actor.get("ID", ""))[:128]
        found.append(
            RuntimeEvent(
                key=f"{event['timeNano']}:{runtime_id[:12]}:{action}"[:80],
                at=_at(event),
                runtime_id=runtime_id,
                name=container_name(str(attributes.get("name", ""))),
                action=action,
                exit_code=_number(attributes.get("exitCode")) if action == "die" else None,
                on_purpose=ends.on_purpose(runtime_id, event["timeNano"]) if action == "die" else None,
                health=clean(verdict)[:10],
                labels=labels({k: v for k, v in attributes.items() if str(k).startswith("bonghwa.")}),
            )
        )
    return EventWindow(events=tuple(found), until=until, lost=lost)


def asked(raw: bytes) -> bool | None:
    """Tell from one container's events whether its last end was asked for; ``None`` without an end."""
    events = parse(raw)
    ends = [event for event in events if event.get("Action") == "die"]
    if not ends:
        return None
    stops = [event for event in events if event.get("Action") == "stop"]
    last = ends[-1]
    killed = _Ends(events).on_purpose(str((last.get("Actor") or {}).get("ID", "")), last["timeNano"])
    return killed or any(stop["timeNano"] >= last["timeNano"] for stop in stops)


class _Ends:
    """Tells an end that somebody asked for from a crash, by the kills and stops around it."""

    def __init__(self, events: Iterable[Mapping[str, Any]]) -> None:
        self._kills: dict[str, list[int]] = {}
        self._ooms: dict[str, list[int]] = {}
        for event in events:
            actor = event.get("Actor") or {}
            signal = str((actor.get("Attributes") or {}).get("signal", "")).upper().removeprefix("SIG")
            if event.get("Action") == "kill" and signal not in _HARMLESS:
                self._kills.setdefault(str(actor.get("ID", "")), []).append(event["timeNano"])
            elif event.get("Action") == "oom":
                self._ooms.setdefault(str(actor.get("ID", "")), []).append(event["timeNano"])

    def on_purpose(self, runtime_id: str, nano: int) -> bool:
        """Whether a kill came shortly before the end, and no OOM kill between the two."""
        before = [at for at in self._kills.get(runtime_id, ()) if 0 <= nano - at <= KILL_S * 1e9]
        return bool(before) and not any(before[-1] < at <= nano for at in self._ooms.get(runtime_id, ()))


def _at(event: Mapping[str, Any]) -> datetime:
    seconds, nano = divmod(int(event["timeNano"]), 1_000_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=nano // 1000)


def _number(text: object) -> int | None:
    try:
        return max(-(2**31), min(2**31 - 1, int(str(text))))
    except ValueError:
        return None
