"""The parts of the checklist's walk: an Engine to stop, a container to recreate, a gateway to set wrong."""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import docker
import redis
from django.utils import timezone
from docker.errors import NotFound

from gateway.drills.plan import PLANS, Drill
from gateway.status import read_statuses
from incidents import checklist
from incidents.models import ChecklistItem, Incident, ItemState, TimelineEvent, TimelineKind
from portal.monitoring import gateway, services
from portal.monitoring.access import opened
from portal.monitoring.collector import sweep
from portal.monitoring.models import RuntimeKind, ServiceState
from portal.operations import drill_play, drills
from portal.operations.models import DrillRun
from tests.conditions import wait_until
from tests.engine import rootfs
from tests.gateway.upstream_world import SLOT, Simulator, manage
from tests.proof.parts import Engine
from tests.proof.world import MARK

IMAGE = "bonghwa-walk"
NAME = "api-gateway"
SCRIPT = "while true; do echo 'WARNING reconnecting in 8 s'; sleep 30; done"
#: A policy whose waits are seen within seconds: 1 s, then the breaker's.
RETRY = {"GATEWAY_START_JITTER": "0", "GATEWAY_BREAKER_FAILURES": "3", "GATEWAY_BREAKER_DELAY": "10"}
#: Seconds of a drill's fault in which the wait of an open breaker ends, and in which three attempts are made.
LONG, SHORT = 14.5, 3.0
#: Runs after which an item has to have moved.
MOST_RUNS = 2


@dataclass(slots=True)
class Container:
    """The container that the seed is about, recreated under its name as ``docker run`` would."""

    client: docker.DockerClient

    def make_image(self) -> None:
        """Import the machine's BusyBox."""
        raw = rootfs(Path(str(shutil.which("busybox"))))
        self.client.api.import_image_from_data(raw, repository=IMAGE, tag="latest")

    def recreate(self, **options: Any) -> None:
        """Put a new one in the place of the last."""
        with suppress(NotFound):
            self.client.containers.get(NAME).remove(force=True)
        self.client.containers.run(
            f"{IMAGE}:latest",
            ["sh", "-c", SCRIPT],
            name=NAME,
            labels={MARK: "1"},
            network_mode="none",
            detach=True,
            **options,
        )


class OwnGateway:
    """``manage.py run_gateway`` on a simulator; its settings can be changed as an operator would."""

    def __init__(self, folder: Path, client: redis.Redis) -> None:
        self._folder, self._client = folder, client
        self._simulator = Simulator(folder)
        self._running = ExitStack()

    @contextmanager
    def open(self) -> Iterator[OwnGateway]:
        """Run the simulator, and whatever gateway is started, until the block ends."""
        self._simulator.start()
        try:
            yield self
        finally:
            self._running.close()
            self._simulator.stop()

    def restart(self, base: float) -> None:
        """Start it with the first delay ``base`` (s), and wait until it says so and is live."""
        self._running.close()
        env = {
            "KIWOOM_MODE": "simulator",
            "KIWOOM_REST_URL": f"http://{self._simulator.address}",
            "KIWOOM_WS_URL": f"ws://{self._simulator.address}",
            "REDIS_URL": os.environ["REDIS_URL"],
            "GATEWAY_RETRY_CAP": "10",
            "GATEWAY_RETRY_BASE": f"{base:g}",
            **RETRY,
        }
        self._running.enter_context(manage(self._folder, "run_gateway", **env))
        wait_until(lambda: self._runs_with(base), 60, f"the gateway is live with a first delay of {base:g} s")

    def _runs_with(self, base: float) -> bool:
        found = read_statuses(self._client, [SLOT])
        return any(one.session == "LIVE" and one.retry and one.retry["base"] == base for one in found)


@dataclass(slots=True)
class Walk:
    """The seed's checklist while its parts are broken and repaired, one after the other."""

    incident: Incident
    engine: Engine
    container: Container
    gateway: OwnGateway
    lines: list[tuple[str, ...]] = field(default_factory=list)
    _memory: dict[str, Any] = field(default_factory=dict)

    def items(self) -> dict[str, ChecklistItem]:
        """Return the items as they are now, by verifier."""
        rows = ChecklistItem.objects.filter(report__incident=self.incident).order_by("order", "pk")
        return {item.verifier: item for item in rows}

    def states(self) -> dict[str, str]:
        """Return their states."""
        return {name: item.state for name, item in self.items().items()}

    def watch(self) -> None:
        """Let the collector see the container and the gateway, as beat does."""
        with opened(RuntimeKind.DOCKER, self._memory) as runtime:
            services.record(sweep(runtime, self._memory))
        gateway.samples(timezone.now())

    def sees_its_log(self) -> bool:
        """Whether the running container's log was read, after one more sweep."""
        self.watch()
        return ServiceState.objects.filter(service__name=NAME, log_lines_per_s__isnull=False).exists()

    def look(self) -> dict[str, str]:
        """Let the scheduled run verify all items; return the outcomes by verifier."""
        self.watch()
        return {run.item.verifier: run.outcome for run in checklist.verify_all(now=timezone.now())}

    def until(self, state: ItemState, *names: str) -> int:
        """Look until the named items are in ``state`` and return how often; no other item may move.

        Raises:
            AssertionError: they are not after :data:`MOST_RUNS` looks, or another one moved.
        """
        others = {name: one for name, one in self.states().items() if name not in names}
        for runs in range(1, MOST_RUNS + 1):
            self.look()
            now = self.states()
            assert {name: now[name] for name in others} == others, self.told(others)
            if all(now[name] == state for name in names):
                return runs
        raise AssertionError(f"not {state} after {MOST_RUNS} runs: {self.told(names)}")

    def told(self, names: Collection[str]) -> dict[str, tuple[str, str]]:
        """Return state and last observation of some items."""
        return {name: (one.state, one.observed) for name, one in self.items().items() if name in names}

    def drill(self, seconds: float) -> DrillRun:
        """Play the retry storm with a fault of so many seconds, against the running gateway's settings."""
        self.watch()
        run = drills.start(
            drill="retry-storm", reason="the walk", now=timezone.now(), by=None, incident=self.incident
        )
        taken = drills.claim(run.pk, timezone.now())
        assert taken is not None
        plan = replace(PLANS[Drill.RETRY_STORM], seconds=seconds)
        return drill_play.play(taken, {Drill.RETRY_STORM: plan})

    def reopened(self, name: str) -> TimelineEvent:
        """Return the newest entry of the timeline that says that an item fails."""
        item = self.items()[name]
        entries = TimelineEvent.objects.filter(incident=self.incident, kind=TimelineKind.CHECKLIST)
        return entries.filter(data__item=item.pk, data__new=ItemState.FAILING).latest("at")

    def write(self, name: str, *cells: str) -> None:
        """Add a line to the table."""
        self.lines.append((self.items()[name].text, name, *cells))


def table(head: tuple[str, ...], lines: list[tuple[str, ...]], widest: int = 60) -> str:
    """Return lines in columns; a longer cell is cut. Korean letters take two columns of a terminal."""
    rows = [[cell[:widest] for cell in line] for line in (head, *lines)]
    widths = [max(_width(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    )


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)
