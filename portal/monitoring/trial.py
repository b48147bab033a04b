"""*Test now*: a probe that runs in a worker before anything is saved; the web process only waits for it.

The question and the answer live in Redis for a few minutes: the URL may hold a secret, and no row is needed.
"""

from __future__ import annotations

import secrets
from dataclasses import asdict
from datetime import datetime
from typing import Any

import orjson
import redis
from django.conf import settings

from portal.monitoring import probing, store
from portal.monitoring.labels import is_asked_for
from portal.monitoring.models import Endpoint
from portal.monitoring.probes.base import ProbeReading, Target

QUESTION = store.PREFIX + "trial:{ident}"
ANSWER = store.PREFIX + "trial-answer:{ident}"
#: Seconds that a question waits for a worker, and that its answer is kept.
QUESTION_TTL = 30
ANSWER_TTL = 60
#: Seconds that the asking page waits: a probe's own limit, and time to be taken up.
WAIT_S = 25.0
#: Trials of one person in a minute.
PER_MINUTE = 20


class TooMany(Exception):
    """The person tried too often; the next minute is free again."""


def begin(target: Target, *, by: str, endpoint: int | None = None) -> str:
    """Keep ``target`` for the worker and return what to call it.

    ``endpoint`` is the row that is being changed, if there is one: what its label asks for may be reached.

    Raises:
        TooMany: ``by`` tried more than 20 times in a minute.
        redis.RedisError: Redis does not answer.
    """
    if store.count_in_minute(f"trial:{by}") > PER_MINUTE:
        raise TooMany(by)
    ident = secrets.token_urlsafe(16)
    store.client().set(
        QUESTION.format(ident=ident),
        orjson.dumps({"target": asdict(target), "endpoint": endpoint}),
        ex=QUESTION_TTL,
    )
    return ident


def run(ident: str) -> None:
    """Probe what ``ident`` names and keep the answer; a trial that ran or is too old does nothing."""
    raw = store.client().getdel(QUESTION.format(ident=ident))
    if not raw:
        return
    question = orjson.loads(raw)
    target = Target(**question["target"])
    reading = probing.probe_target(target, from_label=_is_asked_for(target, question["endpoint"]))
    name = ANSWER.format(ident=ident)
    pipeline = store.client().pipeline()
    pipeline.rpush(name, orjson.dumps(asdict(reading)))
    pipeline.expire(name, ANSWER_TTL)
    pipeline.execute()


def _is_asked_for(target: Target, number: int | None) -> bool:
    """Whether ``target`` leads where the label of the row ``number`` leads."""
    row = Endpoint.objects.select_related("service").filter(pk=number).first() if number else None
    return row is not None and (row.kind, row.url) == (target.kind, target.url) and is_asked_for(row)


def answer(ident: str) -> ProbeReading | None:
    """Wait for the worker's answer; None when none came within ``WAIT_S`` seconds.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    waiting = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=WAIT_S + 5, socket_connect_timeout=5)
    try:
        found: Any = waiting.blpop([ANSWER.format(ident=ident)], timeout=WAIT_S)
    finally:
        waiting.close()
    return _reading(orjson.loads(found[1])) if found else None


def _reading(data: dict[str, Any]) -> ProbeReading:
    times = {
        name: datetime.fromisoformat(data[name]) if data[name] else None for name in ("at", "expires_at")
    }
    return ProbeReading(**(data | times))
