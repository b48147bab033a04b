"""Local processes under the supervisor of ``make run``: its XML-RPC says what runs, psutil what it costs.

A descriptor ``DATA_DIR/processes/<name>.json`` tells a process's log file, health check and labels. What has
to survive between sweeps (health streaks, starts seen) lives in the ``memory`` mapping that the caller keeps.
"""

from __future__ import annotations

import http.client
import json
import socket
import xmlrpc.client
import zlib
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import psutil
from supervisor.xmlrpc import SupervisorTransport, UnixStreamHTTPConnection

from portal.heartbeat import age_of
from portal.monitoring.logs import clean
from portal.monitoring.models import Health, RunState, RuntimeKind
from portal.monitoring.runtimes.base import (
    MAX_LOG_BYTES,
    MAX_LOG_LINES,
    MAX_OUTPUT,
    EventWindow,
    Found,
    HealthCheck,
    HealthReading,
    Inspection,
    LogWindow,
    RuntimeEvent,
    RuntimeRefused,
    RuntimeUnavailable,
    ServiceMissing,
    Usage,
)
from portal.monitoring.runtimes.logfile import read_log

RPC_TIMEOUT_S = 5.0
RESTART_TIMEOUT_S = 30.0
HEALTH_TIMEOUT_S = 3.0
#: Seconds after a start in which a failing check does not count.
START_PERIOD_S = 30.0
#: Seconds between two checks: one sweep.
CHECK_INTERVAL_S = 5.0
MAX_PROCESSES = 200
#: Seconds that are read once more: the supervisor's times are whole seconds.
EVENT_OVERLAP_S = 2.0
MAX_DESCRIPTOR_BYTES = 64 * 1024

#: Supervisor's codes for "no such process".
_BAD_NAME = 10
_STATES = {
    "RUNNING": RunState.RUNNING,
    "STARTING": RunState.RUNNING,
    "STOPPING": RunState.RUNNING,
    "BACKOFF": RunState.RESTARTING,
    "STOPPED": RunState.EXITED,
    "EXITED": RunState.EXITED,
    "FATAL": RunState.EXITED,
}


class _Connection(UnixStreamHTTPConnection):  # type: ignore[misc] # supervisor has no type hints
    """The supervisor library's connection with a time limit."""

    limit = RPC_TIMEOUT_S

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.limit)
        self.sock.connect(self.socketfile)


class ProcessRuntime:
    """Processes of the supervisor that listens at ``folder/supervisor.sock``.

    ``heartbeat`` returns the unix time of a heartbeat key, ``None`` when there is none; it may raise
    ``OSError`` when it cannot look.
    """

    def __init__(
        self,
        folder: Path,
        *,
        heartbeat: Callable[[str], float | None],
        memory: MutableMapping[str, Any],
    ) -> None:
        """Look at ``folder`` (``DATA_DIR``)."""
        self._folder = folder
        self._socket = folder / "supervisor.sock"
        self._heartbeat = heartbeat
        self._memory = memory

    @property
    def kind(self) -> RuntimeKind:
        """Which runtime this is."""
        return RuntimeKind.PROCESS

    @contextmanager
    def _supervisor(self, what: str, limit: float = RPC_TIMEOUT_S) -> Iterator[Any]:
        """Yield the supervisor's XML-RPC namespace; translate its errors."""
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        connection = _Connection("localhost")
        connection.socketfile, connection.limit = str(self._socket), limit
        transport._get_connection = lambda: connection
        try:
            yield xmlrpc.client.ServerProxy("http://localhost", transport=transport).supervisor
        except xmlrpc.client.Fault as error:
            kind = ServiceMissing if error.faultCode == _BAD_NAME else RuntimeRefused
            raise kind(f"{what}: {error.faultString}"[:250]) from error
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            raise RuntimeUnavailable(f"supervisor does not answer ({what}): {error}"[:250]) from error
        finally:
            transport.close()

    def _info(self, runtime_id: str) -> dict[str, Any]:
        with self._supervisor("info") as supervisor:
            return cast(dict[str, Any], supervisor.getProcessInfo(runtime_id))

    def _descriptor(self, name: str) -> dict[str, Any]:
        """Return the descriptor of ``name``, empty without one."""
        path = self._folder / "processes" / f"{name.replace('/', '_')}.json"
        try:
            if path.stat().st_size > MAX_DESCRIPTOR_BYTES:
                return {}
            data = json.loads(path.read_bytes())
        except (OSError, ValueError):
            return {}
        return data if isinstance(data, dict) else {}

    def list(self) -> list[Found]:
        """Return the supervisor's processes but those labelled ``bonghwa.monitor=false``."""
        with self._supervisor("list") as supervisor:
            rows = supervisor.getAllProcessInfo()[:MAX_PROCESSES]
        return [found for row in rows if (found := self._found(row)) is not None]

    def _found(self, row: dict[str, Any]) -> Found | None:
        """Return the service of one of the supervisor's rows, ``None`` when it opts out."""
        name = row["name"] if row["name"] == row["group"] else f"{row['group']}:{row['name']}"
        labels = {str(key): str(value) for key, value in (self._descriptor(name).get("labels") or {}).items()}
        if labels.get("bonghwa.monitor", "").lower() in ("false", "0", "no", "off"):
            return None
        state = _STATES.get(row["statename"], RunState.UNKNOWN)
        return Found(runtime_id=name, name=name, state=state, labels=labels)

    def sample(self, runtime_id: str) -> Usage:
        """Return CPU and memory of the process and its descendants, reaped children included."""
        pid = self._info(runtime_id)["pid"]
        if not pid:
            raise RuntimeRefused(f"{runtime_id} is not running")
        try:
            process = psutil.Process(pid)
            started = datetime.fromtimestamp(process.create_time(), UTC)
            cpu, memory, pids, read, written = 0.0, 0, 0, 0, 0
            for member in [process, *process.children(recursive=True)]:
                try:
                    cpu += sum(member.cpu_times()[:4])
                    memory += member.memory_info().rss
                    pids += member.num_threads()
                    transferred = member.io_counters()
                    read, written = read + transferred.read_bytes, written + transferred.write_bytes
                except psutil.NoSuchProcess:
                    continue
        except psutil.Error as error:
            raise RuntimeRefused(f"{runtime_id}: {error}"[:250]) from error
        return Usage(
            at=datetime.now(UTC),
            cpu_s=cpu,
            memory_bytes=memory,
            started_at=started,
            host_cores=psutil.cpu_count(),
            block_read_bytes=read,
            block_write_bytes=written,
            pids=pids,
        )

    def events(self, since: datetime, until: datetime) -> EventWindow:
        """Return the last start and the last end of each process, as far as they lie in the window.

        The supervisor keeps one of each, in whole seconds, and forgets an end's exit code at the next start.
        """
        with self._supervisor("events") as supervisor:
            rows = supervisor.getAllProcessInfo()[:MAX_PROCESSES]
        found = []
        for row in rows:
            if (own := self._found(row)) is None:
                continue
            ended = row["statename"] in ("EXITED", "FATAL", "STOPPED", "BACKOFF")
            code = row["exitstatus"] if ended else None
            for action, second in (("die", row["stop"]), ("start", row["start"])):
                at = _moment(second)
                if at is None or not since - timedelta(seconds=EVENT_OVERLAP_S) < at <= until:
                    continue
                event = RuntimeEvent(
                    key=f"{second}:{zlib.crc32(own.name.encode()):08x}:{action}",
                    at=at,
                    runtime_id=own.runtime_id,
                    name=own.name,
                    action=action,
                )
                if action == "die":
                    asked = row["statename"] == "STOPPED"
                    event = replace(event, exit_code=code, on_purpose=asked if ended else None)
                found.append(event)
        return EventWindow(events=sorted(found, key=lambda event: event.at), until=until)

    def health(self, runtime_id: str) -> HealthReading:
        """Run the descriptor's check once and count its failing streak in the memory."""
        return self._health(runtime_id, self._info(runtime_id))

    def _health(self, runtime_id: str, info: dict[str, Any]) -> HealthReading:
        check = self._descriptor(runtime_id).get("health")
        if not isinstance(check, dict) or info["statename"] not in ("RUNNING", "STARTING"):
            self._memory.pop(f"streak:{runtime_id}", None)
            self._memory.pop(f"failed:{runtime_id}", None)
            return HealthReading()
        output = self._check(check)
        now = datetime.now(UTC)
        if not output:
            self._memory[f"streak:{runtime_id}"] = 0
            return HealthReading(status=Health.HEALTHY, interval_s=CHECK_INTERVAL_S)
        log = [HealthCheck(at=now, exit_code=1, output=clean(output)[:MAX_OUTPUT])]
        # A start in the future was noted by a clock that was ahead: it is no reason to wait. Nor is a start
        # period that the clock was set back into, once the check has failed after it.
        failed = self._memory.get(f"failed:{runtime_id}") == info["start"]
        if not failed and 0 <= now.timestamp() - info["start"] < START_PERIOD_S:
            return HealthReading(status=Health.STARTING, interval_s=CHECK_INTERVAL_S, log=log)
        self._memory[f"failed:{runtime_id}"] = info["start"]
        streak = int(self._memory.get(f"streak:{runtime_id}", 0)) + 1
        self._memory[f"streak:{runtime_id}"] = streak
        status = Health.UNHEALTHY if streak >= 3 else Health.HEALTHY
        return HealthReading(status=status, failing_streak=streak, interval_s=CHECK_INTERVAL_S, log=log)

    def _check(self, check: dict[str, Any]) -> str:
        """Return what is wrong, empty when the check passes."""
        try:
            if check.get("kind") == "http":
                response = httpx.get(str(check["url"]), timeout=HEALTH_TIMEOUT_S, trust_env=False)
                return "" if response.status_code < 400 else f"HTTP {response.status_code}"
            at = self._heartbeat(str(check["key"]))
            limit = float(check["max_age_s"])
        except httpx.HTTPError as error:
            return f"{type(error).__name__}: {error}"
        except (OSError, KeyError, ValueError, TypeError) as error:
            return f"health check cannot run: {error}"
        if at is None:
            return "no heartbeat"
        age = age_of(datetime.now(UTC).timestamp() - at)
        return "" if age <= limit else f"last heartbeat {age:.0f} s ago, limit {limit:.0f} s"

    def inspect(self, runtime_id: str) -> Inspection:
        """Return state, health and restarts seen; an ended process that was not stopped has crashed."""
        info = self._info(runtime_id)
        state = _STATES.get(info["statename"], RunState.UNKNOWN)
        restarts = self._restarts(runtime_id, info["start"])
        stopped = None
        if state is RunState.EXITED:
            stopped = info["statename"] == "STOPPED" or (
                info["statename"] == "EXITED" and info["exitstatus"] == 0
            )
        return Inspection(
            state=state,
            health=self._health(runtime_id, info),
            started_at=_moment(info["start"]),
            finished_at=_moment(info["stop"]) if state is RunState.EXITED else None,
            exit_code=info["exitstatus"] if state in (RunState.EXITED, RunState.RESTARTING) else None,
            stopped_on_purpose=stopped,
            restart_count=restarts,
            config=self._config(runtime_id),
        )

    def _restarts(self, runtime_id: str, start: int) -> int:
        """Return the restarts seen under one supervisor; starting everything anew is none."""
        name, supervisor = f"starts:{runtime_id}", self._supervisor_id()
        match self._memory.get(name):
            case (earlier, restarts, known) if known == supervisor:
                restarts += start > earlier
            case (_, restarts, *_):
                pass
            case _:
                restarts = 0
        self._memory[name] = (start, restarts, supervisor)
        return int(restarts)

    def _supervisor_id(self) -> str:
        """Return the running supervisor's process number as it wrote it down, empty without one."""
        try:
            return (self._folder / "supervisord.pid").read_text().strip()
        except OSError:
            return ""

    def _config(self, runtime_id: str) -> dict[str, Any]:
        descriptor = self._descriptor(runtime_id)
        return {
            "image": "",
            "limits": {"cpu_cores": None, "memory_bytes": None, "memory_swap_bytes": None, "pids": None},
            "log_options": {"driver": "file"},
            "health_check": {
                "defined": bool(descriptor.get("health")),
                "interval_s": CHECK_INTERVAL_S,
                "timeout_s": HEALTH_TIMEOUT_S,
                "retries": 3,
                "start_period_s": START_PERIOD_S,
            },
            "restart_policy": "supervisor",
            "restart_limit": None,
            "env_names": [],
            "labels": descriptor.get("labels") or {},
        }

    def logs(self, runtime_id: str, *, cursor: str, limit: int = MAX_LOG_LINES) -> LogWindow:
        """Return lines after ``cursor`` from the log file that the supervisor writes and rotates."""
        path = self._descriptor(runtime_id).get("log") or self._info(runtime_id)["stdout_logfile"]
        if not path:
            raise RuntimeRefused(f"{runtime_id} has no log file")
        try:
            return read_log(
                Path(path), cursor, limit=limit, max_bytes=MAX_LOG_BYTES, now=datetime.now(UTC).timestamp()
            )
        except OSError as error:
            raise RuntimeRefused(f"log of {runtime_id}: {error}"[:250]) from error

    def is_guarded(self) -> bool | None:
        """The supervisor's socket is this user's own."""
        return True

    def restart(self, runtime_id: str) -> None:
        """Stop the process, wait for its end, and start it again."""
        with self._supervisor("restart", RESTART_TIMEOUT_S) as supervisor:
            if self._info(runtime_id)["statename"] in ("RUNNING", "STARTING", "BACKOFF"):
                supervisor.stopProcess(runtime_id, True)
            supervisor.startProcess(runtime_id, True)

    def stop(self, runtime_id: str) -> None:
        """Stop the process and wait for its end."""
        with self._supervisor("stop", RESTART_TIMEOUT_S) as supervisor:
            if self._info(runtime_id)["statename"] in ("RUNNING", "STARTING", "BACKOFF"):
                supervisor.stopProcess(runtime_id, True)

    def start(self, runtime_id: str) -> None:
        """Start the process and wait until it runs."""
        with self._supervisor("start", RESTART_TIMEOUT_S) as supervisor:
            if self._info(runtime_id)["statename"] not in ("RUNNING", "STARTING"):
                supervisor.startProcess(runtime_id, True)

    def close(self) -> None:
        """Nothing is kept open."""


def _moment(seconds: float) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
