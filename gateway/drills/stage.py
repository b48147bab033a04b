"""The stage of a drill: the simulator with its fault, the rig's process, and the clock that measures it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any

import orjson
from redis.exceptions import RedisError

from gateway import keys
from gateway.config import AppKey, Mode, RetryConfig, UpstreamConfig
from gateway.drills import plan as plans
from gateway.drills.forward import fast_forward
from gateway.drills.plan import Drill, Measured, Plan, Try
from gateway.drills.rig import SLOT, Orders
from gateway.redis_client import connect
from gateway.simulator.faults import Fault
from gateway.simulator.server import Simulator

#: Lines of the rig that are kept, characters of one, and lines counted at most.
SAMPLE, LINE_MAX, LINES_MAX = 20, 300, 100_000
#: Seconds between two looks at the measurement.
LOOK_EVERY = 0.5
STOP_S = 5.0
#: Seconds beyond the longest delay that a session may take to come back.
RECOVERY_SLACK_S = 15.0

#: Gets the measurement so far, every :data:`LOOK_EVERY`; a false answer aborts the drill.
Progress = Callable[[Measured], Awaitable[bool]]


class DrillBroken(Exception):
    """The drill could not be played; the text says why. It says nothing about the gateway."""


class DrillAborted(Exception):
    """Somebody asked for an end."""


class Stage:
    """Plays ``plan`` once. ``command`` starts the rig; it gets the descriptor of its reports appended."""

    def __init__(
        self,
        plan: Plan,
        config: UpstreamConfig,
        *,
        command: Sequence[str],
        environment: Mapping[str, str],
        redis_url: str,
        ident: str,
        progress: Progress,
        settings_of: str = "",
    ) -> None:
        self._plan = plan
        self._config = config
        self._command = command
        self._environment = environment
        self._channel = keys.DRILL_CHANNEL.format(ident=ident)
        self._redis = connect(redis_url)
        self._progress = progress
        # A key of this drill alone: whatever happens, it is worth nothing anywhere else.
        self._key = AppKey(SLOT, f"drill-{os.urandom(8).hex()}", os.urandom(16).hex())
        self._report: dict[str, Any] = {}
        self._tries: dict[int, dict[str, Any]] = {}
        self._feed: list[tuple[str, float, float]] = []
        self._began: float | None = None
        self._ended: float | None = None
        self._base: dict[str, Any] = {"cpu_s": 0.0, "levels": {}}
        self._lines: list[float] = []
        self._sample: list[str] = []
        self._memory = 0
        self._opened: float | None = None
        self.measured = Measured(
            drill=plan.drill,
            settings_of=settings_of,
            retry=asdict(config.retry),
            stale_after_s=config.stale_after,
        )

    async def play(self) -> Measured:
        """Play it to its end and return what was measured.

        Raises:
            DrillBroken: the rig did not start or ended early.
            DrillAborted: ``progress`` asked for an end.
        """
        if self._plan.drill is Drill.MUTE and self._config.stale_after > self._plan.seconds:
            raise DrillBroken(
                f"GATEWAY_STALE_AFTER is longer than a drill lasts ({self._plan.seconds:.0f} s)"
            )
        if self._plan.drill is Drill.RETRY_STORM:
            self.measured = replace(self.measured, forward=fast_forward(self._config, self._key))
        simulator = Simulator({self._key.app_key: self._key.secret_key})
        try:
            async with asyncio.timeout(plans.LONGEST_S), simulator.run() as port:
                await self._with_rig(simulator, port)
        except TimeoutError as error:
            raise DrillBroken("the drill took longer than any drill may") from error
        finally:
            await self._redis.aclose()
        return self.measured

    async def _with_rig(self, simulator: Simulator, port: int) -> None:
        config = replace(
            self._config,
            mode=Mode.SIMULATOR,
            rest_url=f"http://127.0.0.1:{port}",
            ws_url=f"ws://127.0.0.1:{port}",
            keys=(self._key,),
            calendar="always",
        )
        reading, writing = os.pipe()
        if not self._plan.healthy_first:
            self._switch(simulator, self._plan.fault)
        process = await asyncio.create_subprocess_exec(
            *self._command,
            str(writing),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=(writing,),
            env=dict(self._environment),
        )
        os.close(writing)
        reports = await _reader(reading)
        followers = [
            asyncio.create_task(self._follow_reports(reports)),
            asyncio.create_task(self._follow_lines(process)),
            asyncio.create_task(self._follow_feed()),
        ]
        try:
            assert process.stdin is not None  # noqa: S101 - it was asked for above
            process.stdin.write(Orders(config, self._channel).write())
            await self._phases(simulator, process)
        finally:
            await _stop(process)
            for task in followers:
                task.cancel()
            await asyncio.wait(followers)

    async def _phases(self, simulator: Simulator, process: asyncio.subprocess.Process) -> None:
        await self._until("starting", process, self._is_ready, plans.START_S)
        if not self._is_ready():
            raise DrillBroken(f"the session did not start within {plans.START_S:.0f} s{self._last_line()}")
        if not self._plan.healthy_first:
            # The first attempt begins a moment before the first report.
            self._began = min(self._base["at"], *(one["started"] for one in self._tries.values()))
        else:
            self._began, self._base = time.monotonic(), self._report
            self._switch(simulator, self._plan.fault)
        await self._until("fault", process, self._is_shown, self._plan.seconds)
        self._update("recovering")
        self._ended = time.monotonic()
        self._switch(simulator, Fault.NONE)
        if self._report["state"] == "PARKED":
            assert process.stdin is not None  # noqa: S101 - as above
            process.stdin.write(b"resume\n")
            self.measured = replace(self.measured, resumed=True)
        rows = self._report["rows"]
        longest = min(plans.LONGEST_RECOVERY_S, self._config.retry.cap + RECOVERY_SLACK_S)
        back = await self._until("recovering", process, lambda: self._is_live(rows), longest)
        if back:
            self.measured = replace(self.measured, recovered_s=round(time.monotonic() - self._ended, 1))
        self.measured = replace(self.measured, phase="done")

    def _is_ready(self) -> bool:
        if not self._report:
            return False
        return self._is_live(0) if self._plan.healthy_first else bool(self._tries)

    def _is_live(self, rows: int) -> bool:
        return bool(self._report["state"] == "LIVE" and self._report["rows"] > rows)

    def _is_shown(self) -> bool:
        """Whether the fault has shown all it had to, or is shown too well to go on."""
        seen = self.measured
        if seen.attempts >= plans.RUNAWAY_ATTEMPTS or seen.cpu_s >= plans.RUNAWAY_CPU_S:
            self.measured = replace(seen, runaway=True)
            return True
        return self._plan.drill is Drill.MUTE and "stale" in seen.told

    async def _until(
        self,
        phase: str,
        process: asyncio.subprocess.Process,
        condition: Callable[[], bool],
        longest: float,
    ) -> bool:
        until = time.monotonic() + longest
        while not (met := condition()) and time.monotonic() < until:
            if process.returncode is not None:
                raise DrillBroken(f"the session's process ended with {process.returncode}{self._last_line()}")
            self._update(phase)
            if not await self._progress(self.measured):
                raise DrillAborted
            await asyncio.sleep(LOOK_EVERY)
        return met

    def _update(self, phase: str) -> None:
        """Take in what was seen; after the fault's end its figures stay as they are."""
        began, report = self._began, self._report
        if began is None or self._ended is not None or not report:
            self.measured = replace(self.measured, phase=phase)
            return
        inside = [one for _, one in sorted(self._tries.items()) if one["started"] >= began]
        starts = [one["started"] for one in inside]
        waits = [None, *(later - earlier for earlier, later in pairwise(starts))]
        if report["breaker"] != "closed" and self._opened is None:
            self._opened = max(0.0, report["at"] - began)
        feed = [(name, since, late) for name, since, late in self._feed if since >= began - LOOK_EVERY]
        told: dict[str, float] = {}
        for name, since, late in feed:
            told.setdefault(name, round(max(0.0, since - began) + late, 2))
        before = self._base["levels"]
        levels = {name: count - before.get(name, 0) for name, count in report["levels"].items()}
        self.measured = replace(
            self.measured,
            phase=phase,
            window_s=round(max(0.0, report["at"] - began), 1),
            tries=tuple(
                Try(
                    round(one["started"] - began, 2),
                    None if wait is None else round(wait, 3),
                    one["outcome"],
                    one["reason"],
                )
                for one, wait in zip(inside, waits, strict=False)
            ),
            told=told,
            told_s=round(max(late for _, _, late in feed), 3) if feed else None,
            breaker=report["breaker"],
            breaker_opened_s=None if self._opened is None else round(self._opened, 1),
            lines=sum(at >= began for at in self._lines),
            levels={name: count for name, count in levels.items() if count},
            sample=tuple(self._sample),
            cpu_s=round(report["cpu_s"] - self._base["cpu_s"], 3),
            memory=self._memory,
        )

    async def _follow_reports(self, reports: asyncio.StreamReader) -> None:
        while line := await reports.readline():
            self._report = orjson.loads(line)
            self._memory = max(self._memory, self._report["memory"])
            if not self._plan.healthy_first and not self._base.get("at"):
                # The first report comes with the first attempt: starting the program is no cost of the fault.
                self._base = self._report
            for one in self._report["tries"]:
                if len(self._tries) < 10 * plans.RUNAWAY_ATTEMPTS:
                    self._tries[one["number"]] = one

    async def _follow_lines(self, process: asyncio.subprocess.Process) -> None:
        """Count what the process really writes, as whoever keeps its log would see it."""
        assert process.stdout is not None  # noqa: S101 - it was asked for
        while line := await process.stdout.readline():
            if len(self._lines) < LINES_MAX:
                self._lines.append(time.monotonic())
            if len(self._sample) < SAMPLE:
                self._sample.append(line.decode("utf-8", "replace").strip()[:LINE_MAX])

    async def _follow_feed(self) -> None:
        """Listen as a web process does: what arrives, and how late."""
        with suppress(RedisError, OSError):
            async with self._redis.pubsub() as channel:
                await channel.subscribe(self._channel)
                while True:
                    message = await channel.get_message(ignore_subscribe_messages=True, timeout=None)
                    if message is not None:
                        told = orjson.loads(message["data"])
                        late = max(0.0, time.monotonic() - told["since"])
                        self._feed.append((told["feed"], told["since"], late))
                        del self._feed[: -10 * plans.RUNAWAY_ATTEMPTS]

    def _switch(self, simulator: Simulator, fault: Fault) -> None:
        simulator.faults.switch(fault)
        simulator.api.on_switch()

    def _last_line(self) -> str:
        return f": {self._sample[-1]}" if self._sample else ""


def settings_of_running(status_retry: Mapping[str, Any], config: UpstreamConfig) -> UpstreamConfig:
    """Return ``config`` with the retry settings that a running gateway says it has.

    Raises:
        TypeError: it says something else.
    """
    fields = RetryConfig.__dataclass_fields__
    values = {name: status_retry[name] for name in fields if name in status_retry}
    return replace(config, retry=replace(config.retry, **values))


async def _reader(descriptor: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    protocol = asyncio.StreamReaderProtocol(reader)
    await loop.connect_read_pipe(lambda: protocol, os.fdopen(descriptor, "rb", buffering=0))
    return reader


async def _stop(process: asyncio.subprocess.Process) -> None:
    """End the rig by closing its input; what does not end by that is killed."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(STOP_S):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
