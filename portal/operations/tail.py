"""The live tail of a service's log, shared by everybody who watches it.

The web process never reaches the runtime. While somebody watches, it keeps a lease in Redis and asks the
``ops`` worker for one short read each ``PERIOD_S``, once for each service however many watch. The worker
reads only while the lease lasts, so a tail ends by itself ``WATCH_S`` after its last watcher left. What was
read is one bounded buffer per service, cleaned and masked before it is stored.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import orjson
from celery import current_app
from django.contrib.auth.models import User
from django.utils.translation import gettext as _
from kombu.exceptions import OperationalError

from incidents import audit
from portal.monitoring import store
from portal.monitoring.logs import safe_lines
from portal.monitoring.models import RunState, Service
from portal.monitoring.runtimes.base import NEWEST, LogWindow, Runtime, RuntimeProblem
from portal.operations.live import ask
from portal.operations.models import TailOpening

logger = logging.getLogger(__name__)

TASK = "operations.tail"
#: Seconds between two reads, and for one of them.
PERIOD_S = 2.0
READ_S = 1.5
#: Seconds without a read after a failed one: a hung runtime must not hold up the worker's other tasks.
FAILED_S = 10.0
#: Seconds that a lease outlives its last renewal; several missed polls.
WATCH_S = 6.0
#: Lines that a tail begins with, lines that it keeps, and UTF-8 bytes of all of them.
FIRST_LINES = 100
MAX_LINES = 1_000
MAX_BYTES = 512 * 1024
#: Services that can be watched at once.
MAX_TAILS = 5
#: Seconds after which an opening ends and has to be opened again.
LONGEST_S = 3600
#: How long, and how many at most, openings are kept.
KEPT_FOR = timedelta(days=400)
MAX_ROWS = 50_000

_WATCHED = "tail:watched"
_DUE = "tail:due:{service}"
_READING = "tail:reading:{service}"
_BUFFER = "tail:buffer:{service}"
_OPENING = "tail:opening:{opening}"


class TailRefused(Exception):
    """The tail cannot be shown; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Buffer:
    """The newest lines of one service. ``seq`` numbers its last line; ``cursor`` is the runtime's.

    ``skipped`` counts reads after which older lines were left out; ``inside`` is an open PEM block.
    """

    seq: int = 0
    at: float = 0.0
    cursor: str = NEWEST
    lines: tuple[str, ...] = ()
    skipped: int = 0
    inside: int = 0
    error: str = ""

    def add(self, lines: Sequence[str], *, at: float, cursor: str, skipped: bool, inside: int) -> Buffer:
        """Return it with ``lines`` appended, cut from its beginning to ``MAX_LINES`` and ``MAX_BYTES``."""
        kept = [*self.lines, *lines][-MAX_LINES:]
        size = sum(len(line.encode()) for line in kept)
        start = 0
        while size > MAX_BYTES:
            size -= len(kept[start].encode())
            start += 1
        return Buffer(
            seq=self.seq + len(lines),
            at=at,
            cursor=cursor,
            lines=tuple(kept[start:]),
            skipped=self.skipped + skipped,
            inside=inside,
        )

    def after(self, seq: int) -> tuple[tuple[str, ...], int]:
        """Return the lines after number ``seq`` and how many of them are not there any more."""
        if not 0 < seq <= self.seq:  # somebody new, or the numbering began anew
            return self.lines, 0
        wanted = self.seq - seq
        shown = self.lines[max(0, len(self.lines) - wanted) :]
        return shown, wanted - len(shown)

    @classmethod
    def load(cls, service: int) -> Buffer:
        """Return the stored buffer of ``service``, an empty one without any."""
        raw = store.client().get(_BUFFER.format(service=service))
        if not raw:
            return cls()
        kept = orjson.loads(raw)
        return cls(**(kept | {"lines": tuple(kept["lines"])}))

    def save(self, service: int) -> None:
        """Keep it a little longer than a lease."""
        store.client().set(_BUFFER.format(service=service), orjson.dumps(asdict(self)), ex=int(3 * WATCH_S))


def open_tail(service: Service, user: User, *, at: datetime) -> TailOpening:
    """Record that ``user`` opens the log of ``service`` and let it be watched.

    Raises:
        TailRefused: as many services as may be are watched already.
        redis.RedisError: Redis does not answer.
    """
    if not _admit(service.pk):
        raise TailRefused(_("%(n)d live logs are open already; close one and try again.") % {"n": MAX_TAILS})
    TailOpening.objects.filter(at__lt=at - KEPT_FOR).delete()
    oldest = TailOpening.objects.order_by("-pk").values_list("pk", flat=True)[MAX_ROWS : MAX_ROWS + 1]
    TailOpening.objects.filter(pk__lte=max(oldest, default=0)).delete()
    opening = TailOpening.objects.create(
        at=at, user=user, username=user.get_username(), service=service, service_name=service.name
    )
    audit.record(action="log.open", actor=user, target=service.name, at=at)
    logger.warning("live log of %s opened by user id %s", service.name, user.pk)
    store.client().set(_OPENING.format(opening=opening.pk), f"{user.pk}:{service.pk}", ex=LONGEST_S)
    return opening


def watch(opening: int, *, service: int, user: int) -> Buffer:
    """Renew the lease of an opening, see that a read is asked for, and return what was read so far.

    Raises:
        TailRefused: the opening ended or is somebody else's, or too many services are watched.
        redis.RedisError: Redis does not answer.
    """
    client = store.client()
    owner = client.get(_OPENING.format(opening=opening))
    if owner is None or owner != f"{user}:{service}".encode():
        raise TailRefused(_("This live log was closed; open it again."))
    if not _admit(service):
        raise TailRefused(_("%(n)d live logs are open already; close one and try again.") % {"n": MAX_TAILS})
    if client.set(_DUE.format(service=service), "1", nx=True, px=int(PERIOD_S * 900)):
        try:
            current_app.send_task(TASK, args=[service], queue="ops", expires=2 * PERIOD_S, retry=False)
        except OperationalError as error:
            logger.warning("broker does not answer: %s", error)
    return Buffer.load(service)


def close(opening: int, *, service: int, user: int) -> None:
    """End an opening; the tail itself ends when nobody else watches it."""
    name = _OPENING.format(opening=opening)
    if store.client().get(name) == f"{user}:{service}".encode():
        store.client().delete(name)


def _admit(service: int) -> bool:
    """Let ``service`` be watched a little longer unless too many others are; no script: web may run none."""
    now = time.time()

    def decide(pipeline: Any) -> Any:
        until = pipeline.zscore(_WATCHED, str(service))
        others = int(pipeline.zcount(_WATCHED, now, "+inf"))
        admitted = others < MAX_TAILS or (until is not None and until > now)
        pipeline.multi()
        pipeline.zremrangebyscore(_WATCHED, "-inf", now)
        if admitted:
            pipeline.zadd(_WATCHED, {str(service): now + WATCH_S})
            pipeline.expire(_WATCHED, 60)
        return admitted

    return bool(store.client().transaction(decide, _WATCHED, value_from_callable=True))


def watched(service: int) -> bool:
    """Whether somebody watches the log of ``service``."""
    until = store.client().zscore(_WATCHED, str(service))
    return until is not None and until > time.time()


def read(service: int) -> Buffer | None:
    """Read what is new once; ``None`` when nobody watches or another worker reads. For the ``ops`` worker."""
    reading = _READING.format(service=service)
    if not watched(service) or not store.client().set(reading, "1", nx=True, ex=10):
        return None
    try:
        before = Buffer.load(service)
        found = Service.objects.select_related("state").filter(pk=service).first()
        after = _read(before, found) if found else replace(before, error=_("The service was removed."))
        after.save(service)
        if after.error:
            store.client().set(_DUE.format(service=service), "1", px=int(FAILED_S * 1000))
        return after
    finally:
        store.client().delete(reading)


def _read(before: Buffer, service: Service) -> Buffer:
    state = getattr(service, "state", None)
    if state is not None and state.state == RunState.GONE:
        return replace(before, at=time.time(), error=_("The service was removed."))
    limit = FIRST_LINES if before.cursor == NEWEST else MAX_LINES

    def new_lines(runtime: Runtime, runtime_id: str) -> LogWindow:
        return runtime.logs(runtime_id, cursor=before.cursor, limit=limit)

    try:
        if store.backing_off(service.runtime):
            raise RuntimeProblem(_("the runtime does not answer"))
        window = ask(service, new_lines, READ_S)
    except RuntimeProblem as error:
        return replace(before, error=str(error)[:300])
    lines, inside = safe_lines(window.lines, inside=before.inside)
    skipped = window.capped and before.cursor != NEWEST
    return before.add(lines, at=time.time(), cursor=window.cursor, skipped=skipped, inside=inside)
