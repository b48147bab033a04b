"""What the collector costs and whether the runtime is guarded, for the services page."""

from __future__ import annotations

from collections.abc import Sequence

import redis

from portal.monitoring import store
from portal.monitoring.store import Cost


def costs() -> Sequence[Cost]:
    """Return the newest cost of each runtime, nothing when Redis does not answer."""
    try:
        return store.costs()
    except redis.RedisError:
        return ()
