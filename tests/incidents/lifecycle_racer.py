"""Threads that move the same incident at the same moment, many rounds of each race; prints what held.

Run as ``python -m tests.incidents.lifecycle_racer ROUNDS`` with the settings of a migrated database. Its last
line is JSON: for each race the outcomes that were seen, each how often. A broken invariant ends it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import django

NOW = datetime(2026, 11, 23, tzinfo=UTC)
#: Seconds after which a thread that still waits is in a deadlock.
STUCK_S = 30


class Race:
    """One race: two deeds on a fresh incident or two, and the state that they leave behind."""

    def __init__(self, number: int, name: str) -> None:
        self.services = import_module("incidents.services")
        self.models = import_module("incidents.models")
        self.cause = f"{name}:{number}"
        self.refused = (import_module("incidents.errors").IncidentError,)

    def fire(self, key: str = "a", cause: str = "", at: float = 0) -> Any:
        """Signal one alert."""
        return self.services.signal(
            fingerprint=cause or self.cause, key=key, title=key, service="api-gateway", detail={},
            severity=self.models.Severity.WARNING, at=NOW + timedelta(seconds=at), resolve_after_s=20.0,
        )  # fmt: skip

    def clear(self, key: str = "a") -> None:
        """Clear one alert."""
        self.services.clear(fingerprint=self.cause, key=key, at=NOW + timedelta(seconds=60))

    def together(self, *deeds: Callable[[], Any]) -> list[str]:
        """Do all ``deeds`` at once; returns ``done`` or the name of the refusal for each."""
        gate, said = threading.Barrier(len(deeds)), [""] * len(deeds)

        def run(position: int, deed: Callable[[], Any]) -> None:
            database = import_module("django.db")
            try:
                database.connection.ensure_connection()
                gate.wait(STUCK_S)
                deed()
                said[position] = "done"
            except self.refused as error:
                said[position] = type(error).__name__
            except Exception as error:  # noqa: BLE001 - reported by the main thread
                said[position] = f"BROKEN {type(error).__name__}: {error}"
            finally:
                database.connections.close_all()

        threads = [threading.Thread(target=run, args=pair, daemon=True) for pair in enumerate(deeds)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(STUCK_S)
        assert all(said), f"deadlock: {said}"
        assert not [one for one in said if one.startswith("BROKEN")], said
        return said

    def mine(self) -> list[Any]:
        """The incidents of this race."""
        return list(
            self.models.Incident.objects.filter(fingerprint__startswith=self.cause).order_by("number")
        )

    def open_signals(self, incident: Any) -> int:
        """How many alerts of ``incident`` are open."""
        return int(incident.signals.filter(cleared_at=None).count())

    def check(self) -> None:
        """What holds after every race, whoever won."""
        for incident in self.mine():
            assert incident.is_open or not self.open_signals(incident), (
                "a settled incident with an open alert"
            )
            assert incident.is_open == (incident.resolved_at is None)
            opened = incident.notifications.filter(kind="opened").values_list("occurrence", flat=True)
            assert len(set(opened)) == len(opened)


def two_workers_open(race: Race) -> list[str]:
    """One incident, two alerts, one message."""
    said = race.together(lambda: race.fire("a"), lambda: race.fire("b"))
    (incident,) = race.mine()
    assert race.open_signals(incident) == 2
    assert incident.notifications.count() == 1
    return said


def resolve_versus_alert(race: Race) -> list[str]:
    """Green for its window and a new alert at once: it burns afterwards, by staying or by reopening."""
    race.fire()
    race.clear()
    green = NOW + timedelta(seconds=100)
    said = race.together(lambda: race.services.resolve_green(now=green), lambda: race.fire("b", at=100))
    (incident,) = race.mine()
    assert incident.is_open
    assert race.open_signals(incident) == 1
    assert incident.green_since is None
    return [*said, f"reopened {incident.reopened}"]


def resolve_versus_reopen(race: Race) -> list[str]:
    """A person reopens what the same alert reopens: one new occurrence."""
    incident = race.fire().incident
    race.services.resolve(incident=incident, at=NOW, force=True)
    copy = race.mine()[0]
    said = race.together(
        lambda: race.services.reopen_by_hand(incident=copy, at=NOW, actor=None, reason="x"),
        lambda: race.fire(at=10),
    )
    (incident,) = race.mine()
    assert (incident.is_open, incident.reopened, race.open_signals(incident)) == (True, 1, 1)
    return said


def resolve_by_hand_versus_alert(race: Race) -> list[str]:
    """A person resolves by force while an alert attaches: it is over, or it burns because of that alert."""
    incident = race.fire().incident
    said = race.together(
        lambda: race.services.resolve(incident=incident, at=NOW, force=True), lambda: race.fire("b", at=10)
    )
    (incident,) = race.mine()
    assert incident.is_open == bool(race.open_signals(incident))
    return [*said, "burns" if incident.is_open else "over"]


def taking_back_versus_resolving(race: Race) -> list[str]:
    """Green for its window while two people take the mitigation back: it is over, or one of them did."""
    race.services.mitigate(incident=race.fire().incident, at=NOW)
    race.clear()
    copies = [race.mine()[0] for _person in range(2)]
    said = race.together(
        lambda: race.services.resolve_green(now=NOW + timedelta(seconds=100)),
        *(lambda copy=copy: race.services.unmitigate(incident=copy, at=NOW, reason="x") for copy in copies),
    )
    (incident,) = race.mine()
    moves = [(row.data["old"], row.data["new"]) for row in incident.timeline.filter(kind="state")]
    assert said[1:].count("done") == moves.count(("mitigated", "detected")) <= 1
    assert incident.state in ("detected", "resolved")
    assert (incident.mitigated_at is None) == ("done" in said[1:])
    return [said[0], *sorted(said[1:]), incident.state]


def taking_back_versus_clearing(race: Race) -> list[str]:
    """The look after an action and the alert's end: it goes back only for an alert that was still open."""
    race.services.mitigate(incident=race.fire().incident, at=NOW)
    copy = race.mine()[0]
    went: list[bool] = []
    said = race.together(
        lambda: went.append(race.services.unmitigate_if_firing(incident=copy, since=NOW, at=NOW, reason="x")),
        race.clear,
    )
    (incident,) = race.mine()
    assert (incident.state, race.open_signals(incident)) == ("detected" if went[0] else "mitigated", 0)
    kinds = list(incident.timeline.order_by("pk").values_list("kind", flat=True))
    assert (kinds.count("state"), kinds[-1]) == (1 + went[0], "cleared")
    return [*said, incident.state]


def merge_while_an_alert_attaches(race: Race) -> list[str]:
    """Every alert is in the survivor, whichever came first."""
    source = race.fire().incident
    target = race.fire(cause=f"{race.cause}/other").incident
    said = race.together(
        lambda: race.services.merge(source=source, target=target, at=NOW, actor=None, reason="x"),
        lambda: race.fire("b", at=10),
    )
    source, target = race.mine()
    assert source.merged_into_id == target.pk
    assert (race.open_signals(source), race.open_signals(target)) == (0, 3)
    return said


def merge_both_ways(race: Race) -> list[str]:
    """Two people merge two incidents into each other: one does, nobody waits for ever."""
    first = race.fire().incident
    second = race.fire(cause=f"{race.cause}/other").incident
    merge = race.services.merge
    said = race.together(
        lambda: merge(source=first, target=second, at=NOW, actor=None, reason="x"),
        lambda: merge(source=second, target=first, at=NOW, actor=None, reason="x"),
    )
    assert sorted(said) == ["IllegalMove", "done"]
    assert sum(one.is_open for one in race.mine()) == 1
    return said


def merge_while_an_alert_clears(race: Race) -> list[str]:
    """The alert is clear wherever it is."""
    source = race.fire().incident
    target = race.fire(cause=f"{race.cause}/other").incident
    said = race.together(
        lambda: race.services.merge(source=source, target=target, at=NOW, actor=None, reason="x"),
        lambda: race.clear(),
    )
    _source, target = race.mine()
    assert not race.models.IncidentSignal.objects.filter(origin=race.cause, cleared_at=None).exists()
    assert (race.open_signals(target), target.green_since) == (1, None)
    return said


def split_while_resolving(race: Race) -> list[str]:
    """The split is in time and its incident burns on, or it is refused and everything is over."""
    incident = race.fire().incident
    race.fire("b")
    chosen = {incident.signals.get(key="b").pk}
    said = race.together(
        lambda: race.services.split(incident=incident, signals=chosen, at=NOW, actor=None, reason="x"),
        lambda: race.services.resolve(incident=incident, at=NOW, force=True),
    )
    assert said[1] == "done"
    old, *parts = race.mine()
    assert not old.is_open
    assert [(part.is_open, race.open_signals(part)) for part in parts] == [(True, 1)] * (said[0] == "done")
    return said


def split_while_an_alert_repeats(race: Race) -> list[str]:
    """The alert is open once, and no third incident appears."""
    incident = race.fire().incident
    race.fire("b")
    chosen = {incident.signals.get(key="b").pk}
    said = race.together(
        lambda: race.services.split(incident=incident, signals=chosen, at=NOW, actor=None, reason="x"),
        lambda: race.fire("b", at=10),
    )
    old, part = race.mine()
    assert (race.open_signals(old), race.open_signals(part)) == (1, 1)
    return said


RACES = (
    two_workers_open,
    resolve_versus_alert,
    resolve_versus_reopen,
    resolve_by_hand_versus_alert,
    taking_back_versus_resolving,
    taking_back_versus_clearing,
    merge_while_an_alert_attaches,
    merge_both_ways,
    merge_while_an_alert_clears,
    split_while_resolving,
    split_while_an_alert_repeats,
)


def main(rounds: int) -> dict[str, dict[str, int]]:
    """Run every race ``rounds`` times; returns the outcomes."""
    seen: dict[str, Counter[str]] = {}
    for number in range(rounds):
        for run in RACES:
            race = Race(number, run.__name__)
            outcome = ", ".join(run(race))
            race.check()
            seen.setdefault(run.__name__, Counter())[outcome] += 1
    return {name: dict(outcomes) for name, outcomes in seen.items()}


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    django.setup()
    sys.stdout.write(json.dumps(main(int(sys.argv[1]))) + "\n")
