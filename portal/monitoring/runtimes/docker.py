"""Containers of a Docker Engine. The only module that imports the Docker SDK.

Every call has a time limit of ``CALL_TIMEOUT_S`` and every stream is read in pieces up to a bound.
"""

from __future__ import annotations

import email.utils
import json
import socket
import time
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import docker
import docker.errors
import docker.utils
import requests
import urllib3.exceptions

from portal.monitoring.models import RunState, RuntimeKind
from portal.monitoring.runtimes import docker_api, docker_events
from portal.monitoring.runtimes.base import (
    MAX_LOG_LINES,
    EventWindow,
    Found,
    HealthReading,
    Inspection,
    LogWindow,
    RuntimeProblem,
    RuntimeRefused,
    RuntimeUnavailable,
    ServiceMissing,
    Usage,
)
from portal.monitoring.runtimes.docker_logs import Cursor, payload, unix_now, window

#: Seconds for one call of the Engine; the SDK adds a restart's grace to it.
CALL_TIMEOUT_S = 5.0
RESTART_GRACE_S = 10
#: Connections kept to the Engine; an Engine answers even a one-shot ``stats`` only at its next second.
POOL_SIZE = 64
#: Containers watched at most.
MAX_CONTAINERS = 500
#: Bytes read of an answer to ``events``.
MAX_EVENTS_BYTES = 1024 * 1024
DEFAULT_SOCKET = Path("/var/run/docker.sock")
OPT_OUT = "bonghwa.monitor"
NO_IMAGE = "bonghwa-no-such-image"


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Turn every error of the SDK and below it into this package's."""
    try:
        yield
    except RuntimeProblem:
        raise
    except docker.errors.NotFound as error:
        raise ServiceMissing(f"{what}: no such container") from error
    except docker.errors.APIError as error:
        raise RuntimeRefused(f"{what}: {str(error.explanation or error)[:200]}") from error
    except (
        docker.errors.DockerException,
        requests.RequestException,
        urllib3.exceptions.HTTPError,
        OSError,
    ) as error:
        raise RuntimeUnavailable(f"Docker Engine does not answer ({what}): {_first_cause(error)}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RuntimeRefused(f"{what}: unexpected answer ({error})"[:250]) from error


def _first_cause(error: BaseException) -> str:
    """Return the root cause in a few words; the SDK wraps a refused socket five times."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__  # type: ignore[assignment] # the loop's condition
    return str(error.args[-1] if error.args else error)[:150] or type(error).__name__


def _knock(base_url: str) -> None:
    """Connect to a Unix socket once: the SDK leaves its own sockets open when connecting fails.

    Raises:
        OSError: nobody listens there.
    """
    if base_url.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(CALL_TIMEOUT_S)
            probe.connect(base_url.removeprefix("unix://"))


def _opts_out(labels: Mapping[str, str]) -> bool:
    return labels.get(OPT_OUT, "").lower() in ("false", "0", "no", "off")


class DockerRuntime:
    """A Docker Engine at ``base_url`` (``unix://…``, ``tcp://…``; empty: the default socket)."""

    def __init__(self, base_url: str = "", *, memory: MutableMapping[str, Any] | None = None) -> None:
        """Connect lazily: the first call finds out whether an Engine answers.

        ``memory`` keeps what was judged of an ended container, since the Engine forgets its events soon.
        """
        self._base_url = base_url or f"unix://{DEFAULT_SOCKET}"
        self._memory = {} if memory is None else memory
        self._api: docker.APIClient | None = None

    @property
    def kind(self) -> RuntimeKind:
        """Which runtime this is."""
        return RuntimeKind.DOCKER

    def _client(self) -> docker.APIClient:
        if self._api is None:
            _knock(self._base_url)
            self._api = docker.APIClient(
                base_url=self._base_url,
                timeout=int(CALL_TIMEOUT_S),
                tls=docker.utils.kwargs_from_env().get("tls", False),
                max_pool_size=POOL_SIZE,
            )
            # The SDK keeps that many connections to a socket alone; a proxy before it is reached over HTTP.
            if self._api.base_url.startswith("http://"):
                self._api.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=POOL_SIZE))
        return self._api

    def list(self) -> list[Found]:
        """Return all containers but those labelled ``bonghwa.monitor=false``, newest first."""
        with _translated("list"):
            rows = self._client().containers(all=True, limit=MAX_CONTAINERS)
            found = []
            for row in rows:
                labels = docker_api.labels(row.get("Labels"))
                if _opts_out(labels):
                    continue
                found.append(
                    Found(
                        runtime_id=row["Id"],
                        name=docker_api.container_name((row.get("Names") or [row["Id"][:12]])[0]),
                        state=docker_api.run_state(row.get("State", "")),
                        image=str(row.get("Image", ""))[:300],
                        labels=labels,
                    )
                )
            return found

    def sample(self, runtime_id: str) -> Usage:
        """Return CPU and memory counters, one shot."""
        with _translated("stats"):
            stats = self._client().stats(runtime_id, stream=False, one_shot=True)
            return docker_api.usage(stats, None)

    def health(self, runtime_id: str) -> HealthReading:
        """Return health state, failing streak and the last outputs."""
        return self.inspect(runtime_id).health

    def inspect(self, runtime_id: str) -> Inspection:
        """Return state and allow-listed configuration."""
        with _translated("inspect"):
            seen = docker_api.inspection(self._client().inspect_container(runtime_id))
        if seen.state is not RunState.EXITED:
            return seen
        ended = seen.finished_at.isoformat() if seen.finished_at else ""
        known = self._memory.get(f"ended:{runtime_id}")
        if not known or known[0] != ended:
            known = (ended, self._stopped_on_purpose(runtime_id, seen))
            self._memory[f"ended:{runtime_id}"] = known
        return replace(seen, stopped_on_purpose=known[1])

    def _stopped_on_purpose(self, runtime_id: str, seen: Inspection) -> bool:
        """Tell whether somebody stopped an ended container; one that never ran counts as such.

        The Engine's events say it (``kill`` or ``stop`` before the end). Its memory of events is short, so
        without any trace of the end the exit code decides: 0 and the signals of a stop are on purpose.
        """
        if seen.finished_at is None:
            return True
        if seen.oom_killed:
            return False
        asked = self._was_asked_to_end(runtime_id, seen.finished_at)
        if asked is None:
            return seen.exit_code in (0, 130, 137, 143)
        return seen.exit_code == 0 or asked

    def _was_asked_to_end(self, runtime_id: str, ended: datetime) -> bool | None:
        """Return whether a kill or a stop belongs to the end, ``None`` when the Engine forgot the end."""
        wanted = {"container": [runtime_id], "event": ["kill", "stop", "die", "oom"]}
        since = ended.timestamp() - docker_events.KILL_S
        parameters = {
            "since": f"{since:.3f}",
            "until": f"{unix_now():.3f}",
            "filters": json.dumps(wanted),
        }
        with _translated("events"):
            return docker_events.asked(b"".join(self._stream("/events", parameters, MAX_EVENTS_BYTES)))

    def events(self, since: datetime, until: datetime) -> EventWindow:
        """Return what happened to containers after ``since``, and a minute before it for what comes late."""
        with _translated("events"):
            ahead = self._clock_ahead()
            start, end = since + ahead, until + ahead
            parameters = {
                "since": f"{start.timestamp() - docker_events.LOOK_BACK_S:.9f}",
                "until": f"{end.timestamp():.9f}",
            }
            raw = b"".join(self._stream("/events", parameters, MAX_EVENTS_BYTES))
            seen = docker_events.window(docker_events.parse(raw), since=start, until=until)
            own = [event for event in seen.events if not _opts_out(event.labels)]
            return replace(seen, events=own, lost=seen.lost or len(raw) >= MAX_EVENTS_BYTES)

    def _clock_ahead(self) -> timedelta:
        """Return how far the clock of an Engine elsewhere is ahead.

        The Engine would wait for an ``until`` that is still to come for it. Its answers tell whole seconds,
        so that less than two count as none.
        """
        if self._base_url.startswith("unix://"):
            return timedelta()
        client = self._client()
        with client.get(f"{client.base_url}/_ping", timeout=CALL_TIMEOUT_S) as response:
            told = email.utils.parsedate_to_datetime(response.headers["Date"])
        ahead = told + timedelta(seconds=0.5) - datetime.now(UTC)
        return ahead if abs(ahead.total_seconds()) >= 2 else timedelta()

    def logs(self, runtime_id: str, *, cursor: str, limit: int = MAX_LOG_LINES) -> LogWindow:
        """Return lines after ``cursor``; a flood is asked for once more with the full ``limit``.

        The Engine reads a log from its end when it is told how many lines are wanted, and from its beginning
        otherwise, so that an unrotated log of many GB would be decoded in every sweep.
        """
        start = Cursor.decode(cursor)
        with _translated("logs"):
            tail = min(limit, start.tail)
            found = self._window(runtime_id, start, tail)
            if found.capped and tail < limit:
                found = self._window(runtime_id, start, limit)
            return found

    def _window(self, runtime_id: str, cursor: Cursor, tail: int) -> LogWindow:
        now = unix_now()
        parameters = {
            "stdout": "1",
            "stderr": "1",
            "timestamps": "1",
            "tail": str(tail),
            "since": cursor.since(now),
        }
        raw, capped = payload(self._stream(f"/containers/{runtime_id}/logs", parameters))
        return window(raw, capped, cursor=cursor, limit=tail, now=now)

    def _stream(self, path: str, parameters: dict[str, str], limit: int | None = None) -> Iterator[bytes]:
        """Yield an answer in pieces until it ends, ``limit`` bytes came, or the call's time is over.

        The SDK's own streams switch the socket's time limit off; a hung Engine would hold a worker for ever.
        """
        client = self._client()
        deadline = time.monotonic() + CALL_TIMEOUT_S
        with client.get(
            f"{client.base_url}/v{client.api_version}{path}",
            params=parameters,
            stream=True,
            timeout=CALL_TIMEOUT_S,
        ) as response:
            if response.status_code == 404:
                raise ServiceMissing("no such container")
            if response.status_code >= 400:
                raise RuntimeRefused(response.raw.read(300, decode_content=True).decode("utf-8", "replace"))
            size = 0
            for piece in response.raw.stream(64 * 1024, decode_content=False):
                yield piece
                size += len(piece)
                if (limit and size >= limit) or time.monotonic() > deadline:
                    return

    def is_guarded(self) -> bool | None:
        """Ask for an image that cannot exist, which the collector never needs and which changes nothing.

        An Engine says that there is no such image; a proxy that allows only reading refuses to ask.
        """
        try:
            client = self._client()
            path = f"{client.base_url}/v{client.api_version}/images/{NO_IMAGE}/json"
            with _translated("guard"), client.get(path, timeout=CALL_TIMEOUT_S, stream=True) as response:
                told = response.raw.read(300, decode_content=True).decode("utf-8", "replace")
        except (RuntimeProblem, docker.errors.DockerException, OSError):
            return None
        if response.status_code == 404 and NO_IMAGE in told:
            return False
        return True if response.status_code in (401, 403, 405) else None

    def restart(self, runtime_id: str) -> None:
        """Restart with ten seconds of grace."""
        with _translated("restart"):
            self._client().restart(runtime_id, timeout=RESTART_GRACE_S)

    def stop(self, runtime_id: str) -> None:
        """Stop with ten seconds of grace."""
        with _translated("stop"):
            self._client().stop(runtime_id, timeout=RESTART_GRACE_S)

    def start(self, runtime_id: str) -> None:
        """Start as it was created."""
        with _translated("start"):
            self._client().start(runtime_id)

    def close(self) -> None:
        """Close the connections."""
        if self._api is not None:
            self._api.close()
            self._api = None
