"""TCP probe: a connection is taken."""

from __future__ import annotations

from portal.monitoring.probes.base import ProbeReading, Stopwatch, Target, unknown
from portal.monitoring.probes.guard import Guard, Refused
from portal.monitoring.probes.urls import parse


def probe_tcp(target: Target, guard: Guard) -> ProbeReading:
    """Connect to ``target.url`` (``tcp://host:port``) and close again."""
    watch = Stopwatch()
    try:
        place = parse("tcp", target.url)
        with guard.connect(place.host, place.port, target.timeout_s) as connection:
            peer = connection.getpeername()[0]
    except Refused as refusal:
        return unknown(f"refused: {refusal}")
    except TimeoutError:
        return watch.failed(f"no connection within {target.timeout_s:g} s")
    except (OSError, ValueError) as error:
        return watch.failed(str(error) or type(error).__name__)
    return watch.passed(f"connected to {peer}")
