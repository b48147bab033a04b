"""REG and REMOVE frames under way: sent by plan, answered in order. Pure."""

from __future__ import annotations

from collections import deque

from gateway import protocol
from gateway.config import UpstreamConfig
from gateway.planner import Batch, Planner
from gateway.protocol import Verdict

#: Seconds to wait for the answer to a REG or REMOVE.
ACK_TIMEOUT = 10.0
#: Frames under way at once.
MAX_UNACKNOWLEDGED = 4


class Registrar:
    """A planner and its unanswered frames. Answers carry no number: they are matched first in, first out."""

    def __init__(self, config: UpstreamConfig) -> None:
        self.planner = Planner(
            cap=config.items_per_connection,
            size=config.reg_batch,
            rate=config.reg_per_second,
            linger=config.linger,
        )
        self._pending: deque[tuple[Batch, float]] = deque()

    def reset(self) -> None:
        """Forget everything that belonged to the connection."""
        self._pending.clear()
        self.planner.reset()

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
        if len(self._pending) < MAX_UNACKNOWLEDGED and (planned := self.planner.due(now)) is not None:
            due.append(planned)
        return min(due, default=None)
