"""REG and REMOVE frames under way: sent by plan, answered in order. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from gateway import protocol
from gateway.config import UpstreamConfig
from gateway.planner import Batch, Planner
from gateway.protocol import Direction, Verdict
from gateway.silence import Silence

#: Seconds to wait for the answer to a REG or REMOVE.
ACK_TIMEOUT = 10.0
#: Frames under way at once.
MAX_UNACKNOWLEDGED = 4


@dataclass(frozen=True, slots=True)
class Places:
    """What is registered on a connection (``topics``, with those that linger) and what is not.

    ``wanted`` is how many topics are its task, registered or not.
    ``settled`` says that all that has a place is registered; ``silent`` topics brought no row although they
    should.
    """

    topics: tuple[str, ...]
    wanted: int
    unplaced: tuple[str, ...]
    silent: tuple[str, ...]
    capacity: int
    free: int
    settled: bool


class Registrar:
    """A planner and its unanswered frames. Answers carry no number: they are matched first in, first out."""

    def __init__(self, config: UpstreamConfig) -> None:
        self.silence = Silence(config.silent_after)
        self.planner = Planner(
            cap=config.items_per_connection,
            size=config.reg_batch,
            rate=config.reg_per_second,
            linger=config.linger,
        )
        self._pending: deque[tuple[Batch, float]] = deque()

    def reset(self, now: float) -> None:
        """Forget everything that belonged to the connection."""
        self._pending.clear()
        self.planner.reset(now)
        self.silence.reset()

    def places(self, now: float, *, others_tick: bool) -> Places:
        """Return what is registered and what is not. While nothing ticks no single topic is to blame."""
        planner = self.planner
        return Places(
            topics=tuple(sorted(planner.registered)),
            wanted=len(planner.wanted),
            unplaced=planner.unplaced,
            silent=self.silence.topics(now) if others_tick else (),
            capacity=planner.cap,
            free=planner.free,
            settled=planner.settled,
        )

    def supervise(self, now: float, *, others_tick: bool) -> None:
        """Plan to register topics once more that the server accepted and sends nothing of."""
        if topics := self.silence.again(now, others_tick=others_tick):
            self.planner.repeat(topics)

    def frames(self, now: float) -> list[str]:
        """Return the frames to send now."""
        texts = []
        while len(self._pending) < MAX_UNACKNOWLEDGED and (batch := self.planner.next(now)):
            self._pending.append((batch, now))
            texts.append(protocol.register(batch.direction, batch.items, batch.types))
        return texts

    def acknowledged(self, ack: protocol.Ack, now: float) -> str:
        """Take one answer; returns what was refused and why, or an empty text."""
        queue = self._pending
        found = next((entry for entry in queue if entry[0].direction is ack.direction), None)
        if found is None:
            return ""
        queue.remove(found)
        batch = found[0]
        verdict = protocol.classify(ack.code, ack.message)
        if verdict is Verdict.OK:
            self.planner.acknowledged(batch)
            if batch.direction is Direction.REG:
                self.silence.registered(batch.topics, now)
            else:
                self.silence.removed(batch.topics)
            return ""
        self.planner.refused(batch, verdict, now)
        reason = protocol.refusal(ack.code, ack.message).reason
        return f"{ack.direction.value} of {len(batch.items)} items refused, {reason}"

    def overdue(self, now: float) -> bool:
        """Return whether an answer is missing for too long."""
        return bool(self._pending) and now >= self._pending[0][1] + ACK_TIMEOUT

    def due(self, now: float) -> float | None:
        """Return when there may be something to send, or an answer will be overdue."""
        due = [self._pending[0][1] + ACK_TIMEOUT] if self._pending else []
        if self.silence.due is not None:
            due.append(self.silence.due)
        if len(self._pending) < MAX_UNACKNOWLEDGED and (planned := self.planner.due(now)) is not None:
            due.append(planned)
        return min(due, default=None)
