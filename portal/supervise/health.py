"""``python -m portal.supervise.health``: does this container's process (``ROLE``) live? Exits with 0 or 1.

It runs every few seconds in every container, so it loads no Django. The web process is asked over HTTP. The
others prove themselves in Redis: workers and beat by their heartbeats, a gateway by the lease that it holds
or by its place among the standbys.
"""

from __future__ import annotations

import http.client
import os
import socket
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gateway import keys

#: Seconds for one answer of the web process or of Redis.
TIMEOUT = 3.0
#: Ages in seconds that count as alive. A worker's heartbeats are tasks: they wait for a child.
BEAT_MAX_AGE = 30.0
WORKER_MAX_AGE = 90.0
STANDBY_MAX_AGE = 15.0


class Unhealthy(Exception):
    """The process does not do its work; the message says what was seen."""


def check_web(port: int) -> str:
    """Ask the web process of this container.

    Raises:
        Unhealthy: it does not answer 200.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request("GET", "/health")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise Unhealthy(f"/health does not answer: {str(error) or type(error).__name__}") from error
    finally:
        connection.close()
    if status != 200:
        raise Unhealthy(f"/health answers {status}")
    return "/health answers"


def check_heartbeat(client: Any, name: str, max_age: float) -> str:
    """Look at a heartbeat.

    Raises:
        Unhealthy: it is missing or too old.
    """
    value = client.get(keys.HEARTBEAT.format(name=name))
    if value is None:
        raise Unhealthy(f"{name} has not beaten")
    age = time.time() - float(value)
    if age > max_age:
        raise Unhealthy(f"{name} beat {age:.0f} s ago")
    return f"{name} beat {age:.0f} s ago"


def check_gateway(client: Any, host: str) -> str:
    """Look for a gateway of ``host`` among the owners and standbys of every slot.

    Raises:
        Unhealthy: it is none of them.
    """
    prefix = f"{host}:".encode()
    for slot in sorted(name.decode() for name in client.smembers(keys.SLOTS)):
        if (client.get(keys.LEASE.format(slot=slot)) or b"").startswith(prefix):
            return f"owns {slot}"
        fresh: Iterable[bytes] = client.zrangebyscore(
            keys.STANDBY.format(slot=slot), time.time() - STANDBY_MAX_AGE, "+inf"
        )
        if any(owner.startswith(prefix) for owner in fresh):
            return f"stands by for {slot}"
    raise Unhealthy("neither owns an app key nor stands by for one")


def check(environment: Mapping[str, str], host: str) -> str:
    """Check the role that ``environment`` names and return what was seen.

    Raises:
        Unhealthy: it is not well, or Redis does not tell.
        ValueError: the role is unknown.
        OSError: the file that ``REDIS_URL_FILE`` names cannot be read.
    """
    role = environment.get("ROLE") or "web"
    if role == "web":
        return check_web(int(environment.get("PORT") or 5111))
    if role not in ("gateway", "beat", "worker-collect", "worker-ops"):
        raise ValueError(f"ROLE={role!r} has no health check")
    import redis  # slow to import; the web process does not need it

    try:
        with redis.Redis.from_url(
            _redis_url(environment), socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT
        ) as client:
            if role == "gateway":
                return check_gateway(client, host)
            if role == "beat":
                return check_heartbeat(client, "beat", BEAT_MAX_AGE)
            queue = role.removeprefix("worker-")
            return check_heartbeat(client, f"worker:{queue}@{host}", WORKER_MAX_AGE)
    except redis.RedisError as error:
        raise Unhealthy(f"Redis does not tell: {type(error).__name__}") from error


def _redis_url(environment: Mapping[str, str]) -> str:
    if path := environment.get("REDIS_URL_FILE"):
        return Path(path).read_text().strip()
    return environment.get("REDIS_URL") or "redis://127.0.0.1:5113/0"


def main() -> None:
    """Print what was seen; exit with 1 when it is not well."""
    try:
        print(check(os.environ, socket.gethostname()))  # noqa: T201 - the Engine keeps it with the health state
    except (Unhealthy, ValueError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
