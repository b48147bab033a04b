"""Fan-out within one web process: rows in once, frames out to every client that wants them.

Publishing never awaits. Clients with the same topics form a group, for which rows are joined and framed
once. What arrives within one turn of the loop goes out together, at most every ``flush_ms``.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain

from gateway.config import FeedConfig
from gateway.feed_frames import PING, Close, System, Verdict, count_rows, last_row, real, split_rows, system
from gateway.feed_queue import FRAME_BYTES, ClientQueue, TopicRows, chunks
from gateway.feed_registrations import Registrations, Rights
from gateway.feed_state import FeedView, StateTracker, kst
from gateway.status import FeedState, Gap

#: Topics that a gap's frame names to a client; their number stands beside them.
GAP_NAMES = 50

#: Topics that are named to a client which lost them.
TOLD_MAX = 50

#: Clients of one group. More with the same topics make another: while one is written to, rows that arrive
#: can still go out with the next, so that nobody waits for two rounds of all clients.
GROUP_MAX = 250
#: Seconds of writing after which the loop gets a turn, so that rows are read between two groups.
SLICE = 0.003

Schedule = Callable[[float, Callable[[], None]], object]


@dataclass(eq=False, slots=True)
class Group:
    """Some of the clients that want exactly the same topics, and the rows that wait for their next frame.

    ``restored`` are unix seconds of last values among those rows, which are older than they look.
    ``flushed_at`` is in monotonic seconds.
    """

    topics: frozenset[str]
    #: Each with its queue, in the order they came, which is about their order in memory.
    members: dict[Client, ClientQueue] = field(default_factory=dict)
    pending: list[TopicRows] = field(default_factory=list)
    size: int = 0
    restored: dict[str, float] = field(default_factory=dict)
    flushed_at: float = 0.0


@dataclass(eq=False, slots=True)
class Topic:
    """One topic that some client wants. ``last_at`` is in unix seconds, ``rows`` came since it is wanted."""

    name: str
    groups: dict[Group, None] = field(default_factory=dict)
    fence: int = 0
    last: bytes | None = None
    last_at: float = 0.0
    rows: int = 0


@dataclass(eq=False, slots=True)
class Client:
    """One logged-in connection. Times are monotonic seconds, ``expires`` and ``since`` unix seconds."""

    queue: ClientQueue
    on_verdict: Callable[[Verdict], None]
    registrations: Registrations
    name: str = ""
    key: int | None = None
    token_digest: str = ""
    full_status: bool = False
    expires: float | None = None
    token_expires: float | None = None
    registered: bool = False
    next_ping: float = 0.0
    group: Group | None = None
    told: FeedView | None = None
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    address: str = ""
    since: float = field(default_factory=time.time)

    @property
    def topics(self) -> frozenset[str]:
        """Topics that the client wants."""
        return self.group.topics if self.group else frozenset()


class Hub:
    """The clients of one process. Not thread-safe: it belongs to one event loop."""

    def __init__(
        self,
        config: FeedConfig,
        *,
        schedule: Schedule,
        topics_changed: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._schedule = schedule
        self._topics_changed = topics_changed
        self._clock = clock
        self._wall = wall
        self._topics: dict[str, Topic] = {}
        self._new: set[str] = set()
        self._groups: dict[frozenset[str], list[Group]] = {}
        self._dirty: dict[Group, None] = {}
        self._flush_due = False
        self._rows_gone = self._dropped_gone = 0
        self.state = StateTracker(wall())
        self.clients: set[Client] = set()
        self.closes: Counter[str] = Counter()
        #: Rows from the bus that some client wanted, since the start.
        self.rows_in = 0

    @property
    def topics(self) -> frozenset[str]:
        """Every topic that some client wants."""
        return frozenset(self._topics)

    def loads(self) -> Iterable[Topic]:
        """Return every topic that some client wants, for counting."""
        return self._topics.values()

    def take_new(self) -> frozenset[str]:
        """Return the topics that came since the last call and of which no value is known yet.

        One that went and came again meanwhile is new: what was known of it went with it.
        """
        new, self._new = self._new, set()
        return frozenset(name for name in new if self._topics[name].last is None)

    @property
    def rows_out(self) -> int:
        """Rows put into clients' frames since the start."""
        return self._rows_gone + sum(client.queue.rows_out for client in self.clients)

    @property
    def dropped(self) -> int:
        """Rows that slow clients did not get since the start."""
        return self._dropped_gone + sum(client.queue.dropped_total for client in self.clients)

    def add(self, client: Client) -> None:
        """Take in a client that has logged in."""
        client.next_ping = self._clock() + self._config.ping_interval
        self.clients.add(client)

    def remove(self, client: Client) -> None:
        """Let a client go, with everything only it wanted."""
        if client not in self.clients:
            return
        self._move(client, frozenset())
        self.clients.discard(client)
        self._rows_gone += client.queue.rows_out
        self._dropped_gone += client.queue.dropped_total

    def set_topics(self, client: Client, topics: frozenset[str]) -> None:
        """Make ``topics`` what the client wants; it gets the last value of each new one at once."""
        added = topics - client.topics
        client.queue.forget(client.topics - topics)
        self._move(client, topics)
        first, client.registered = not client.registered, True
        if first:
            self._tell(client, self.state.view(self._clock(), self._wall()))
        self._send_last(client, added)

    def restrict(self, client: Client, rights: Rights) -> None:
        """Apply changed rights: topics no longer allowed end, and the client is told which.

        One that left while its key was looked up is not taken in again.
        """
        if client not in self.clients:
            return
        gone = client.registrations.restrict(rights)
        if gone:
            self.set_topics(client, client.registrations.topics)
            told = sorted(gone)[:TOLD_MAX]
            client.queue.control(system(System.RIGHTS, "rights changed", removed=len(gone), topics=told))

    def publish(self, name: str, fence: int, rows: bytes) -> None:
        """Pass ``ROW,ROW`` on to the topic's clients; rows of a replaced owner are dropped."""
        topic = self._topics.get(name)
        if topic is not None and self.state.accepts(fence):
            self._pass_on(topic, fence, rows)

    def _pass_on(self, topic: Topic, fence: int, rows: bytes) -> None:
        name = topic.name
        topic.fence = fence
        topic.last = last_row(rows)
        topic.last_at = self._wall()
        count = count_rows(rows)
        topic.rows += count
        self.rows_in += count
        for part in (rows,) if len(rows) <= FRAME_BYTES else split_rows(rows, FRAME_BYTES):
            for group in topic.groups:
                if group.size + len(part) > FRAME_BYTES:
                    self._flush_group(group)
                group.pending.append((name, part))
                group.size += len(part) + 1
                self._dirty[group] = None
        self._plan_flush()

    def restore(self, name: str, fence: int, at: float, row: bytes) -> None:
        """Take in a topic's last value, read at ``at`` unix seconds, unless something newer is known."""
        topic = self._topics.get(name)
        if topic is None or fence < topic.fence or (topic.last is not None and topic.last_at >= at):
            return
        if topic.last == row:
            return
        for group in topic.groups:
            group.restored[name] = at
        self._pass_on(topic, fence, row)
        topic.last_at = at

    def gap(self, gap: Gap) -> None:
        """Tell the clients whose topics are concerned that rows may be missing."""
        missed = frozenset(gap.topics)
        for group in chain.from_iterable(self._groups.values()):
            if not (mine := sorted(missed & group.topics)):
                continue
            frame = system(
                System.GAP,
                "gap",
                **{"from": kst(gap.since), "to": kst(gap.until)},
                topics=mine[:GAP_NAMES],
                count=len(mine),
                reason=gap.reason,
            )
            for client in group.members:
                client.queue.control(frame)

    def tick(self) -> None:
        """Send PINGs and changes of state, and give up on slow clients; call it twice a second."""
        now, wall = self._clock(), self._wall()
        view = self.state.view(now, wall)
        for client in list(self.clients):
            if now >= client.next_ping:
                client.next_ping += self._config.ping_interval
                client.queue.control(PING)
            if client.told is not None and client.told.differs(view, full=client.full_status):
                self._tell(client, view)
            if client.expires is not None and wall >= client.expires:
                self.close(client, Verdict(Close.BAD_KEY, "the token expired"))
            client.queue.check(now)
            if client.queue.verdict is not None:
                self.close(client, client.queue.verdict)

    def close(self, client: Client, verdict: Verdict) -> None:
        """End a client's connection; the connection itself removes it."""
        client.on_verdict(verdict)

    def close_all(self, verdict: Callable[[int], Verdict]) -> None:
        """End every connection; ``verdict`` gets the client's place in the row."""
        for place, client in enumerate(list(self.clients)):
            self.close(client, verdict(place))

    def _tell(self, client: Client, view: FeedView) -> None:
        first = client.told is None
        client.told = view
        if not first or client.full_status or view.state is not FeedState.LIVE:
            client.queue.control(view.frame(full=client.full_status))

    def _send_last(self, client: Client, names: frozenset[str]) -> None:
        known = [(name, self._topics[name]) for name in sorted(names) if self._topics[name].last is not None]
        if not known:
            return
        self._tell_ages(client, {name: topic.last_at for name, topic in known})
        now = self._clock()
        for part in chunks((name, topic.last) for name, topic in known if topic.last is not None):
            client.queue.rows(real(row for _, row in part), part, now)

    @staticmethod
    def _tell_ages(client: Client, ages: dict[str, float]) -> None:
        if client.full_status:
            times = {name: kst(at) for name, at in ages.items()}
            client.queue.control(system(System.SNAPSHOT, "snapshot", topics=times))

    def _move(self, client: Client, topics: frozenset[str]) -> None:
        old = client.group
        if old is not None and old.topics == topics:
            return
        before = frozenset(self._topics)
        client.group = self._join(client, topics) if topics else None
        if old is not None:
            self._flush_group(old)
            old.members.pop(client, None)
            if not old.members:
                self._drop_group(old)
        if self._topics.keys() != before:
            self._topics_changed()

    def _join(self, client: Client, topics: frozenset[str]) -> Group:
        alike = self._groups.get(topics)
        if alike is None:
            alike = self._groups[topics] = []
            self._new |= topics - self._topics.keys()
        group = next((one for one in alike if len(one.members) < GROUP_MAX), None)
        if group is None:
            group = Group(topics)
            alike.append(group)
            for name in topics:
                self._topics.setdefault(name, Topic(name)).groups[group] = None
        else:
            self._flush_group(group)
        group.members[client] = client.queue
        return group

    def _drop_group(self, group: Group) -> None:
        alike = self._groups[group.topics]
        alike.remove(group)
        if not alike:
            del self._groups[group.topics]
        self._dirty.pop(group, None)
        for name in group.topics:
            topic = self._topics[name]
            topic.groups.pop(group, None)
            if not topic.groups:
                del self._topics[name]
                self._new.discard(name)

    def _plan_flush(self) -> None:
        if self._flush_due or not self._dirty:
            return
        self._flush_due = True
        self._schedule(max(0.0, self._due_in(next(iter(self._dirty)))), self._flush)

    def _due_in(self, group: Group) -> float:
        return group.flushed_at + self._config.flush_ms / 1000 - self._clock()

    def _flush(self) -> None:
        """Write to the groups that are due, the longest waiting first, for one slice of time."""
        self._flush_due = False
        until = self._clock() + SLICE
        while self._dirty:
            group = next(iter(self._dirty))
            if self._due_in(group) > 0 or self._clock() > until:
                break
            self._flush_group(group)
        self._plan_flush()

    def _flush_group(self, group: Group) -> None:
        self._dirty.pop(group, None)
        if not group.pending:
            return
        group.flushed_at = self._clock()
        if group.restored:
            ages, group.restored = group.restored, {}
            for client in group.members:
                self._tell_ages(client, ages)
        rows, group.pending, group.size = group.pending, [], 0
        frame = real(row for _, row in rows)
        now = self._clock()
        for queue in group.members.values():
            queue.rows(frame, rows, now)
