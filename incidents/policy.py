"""Numbers of the delivery of messages, and the pure functions that use them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

#: Reminders never come closer to each other than this, in seconds.
REMINDER_FLOOR_S = 300.0
#: Reminders of one occurrence, whatever is configured.
REMINDERS_LIMIT = 5
#: Half the width of the jitter, as a part of the delay.
JITTER = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Each field is the variable ``NOTIFY_<NAME>``; times in seconds."""

    #: Tries of one message on one channel.
    tries: int = 5
    #: Wait after the first failed try; it grows threefold up to ``retry_cap``.
    retry_base: float = 5.0
    retry_cap: float = 300.0
    #: What changes in an incident that was told already is gathered for this long,
    group_wait: float = 30.0
    #: told at most once in this time,
    group_interval: float = 300.0
    #: and repeated after this when nobody acknowledges it, once ``escalation`` is through.
    repeat: float = 4 * 3600.0
    #: Unacknowledged for so long: remind, and tell the channels of that step too.
    escalation: tuple[float, ...] = (300.0, 900.0, 1800.0)
    #: Reminders of one occurrence of an incident, at most.
    reminders_max: int = 5
    #: Messages to one channel in an hour unless its row says otherwise; what is above is rolled up.
    per_hour: int = 30
    #: One roll-up for a channel in this time.
    rollup_interval: float = 600.0
    #: Seconds after which a claim by a worker that died is looked at; longer than any send may take.
    lease: float = 60.0

    def problems(self) -> list[str]:
        """Return what cannot be meant, one sentence each; empty when it is fine."""
        found = []
        if self.tries < 1 or self.per_hour < 1:
            found.append("NOTIFY_TRIES and NOTIFY_PER_HOUR must be at least 1.")
        if not 0 < self.retry_base <= self.retry_cap:
            found.append("NOTIFY_RETRY_BASE must be above 0 and at most NOTIFY_RETRY_CAP.")
        if min(self.group_wait, self.rollup_interval) < 0 or self.lease < 30:
            found.append("NOTIFY_GROUP_WAIT, NOTIFY_ROLLUP_INTERVAL: at least 0; NOTIFY_LEASE: at least 30.")
        steps = [later - earlier for earlier, later in pairwise((0.0, *self.escalation))]
        if min([*steps, self.group_interval, self.repeat]) < REMINDER_FLOOR_S:
            found.append(
                "NOTIFY_ESCALATION, NOTIFY_GROUP_INTERVAL and NOTIFY_REPEAT: messages about one incident "
                f"must be at least {REMINDER_FLOOR_S:g} s apart."
            )
        if not 0 <= self.reminders_max <= REMINDERS_LIMIT or len(self.escalation) > REMINDERS_LIMIT:
            found.append(f"NOTIFY_REMINDERS_MAX must be 0 to {REMINDERS_LIMIT}.")
        return found


def delay_after(policy: Policy, attempts: int, chance: float = 0.5) -> timedelta:
    """Return the wait after ``attempts`` failed tries; ``chance`` in [0, 1) places it in the jitter."""
    delay = min(policy.retry_cap, policy.retry_base * 3.0 ** (attempts - 1))
    return timedelta(seconds=min(policy.retry_cap, delay * (1 + JITTER * (2 * chance - 1))))


def reminder_times(policy: Policy) -> tuple[float, ...]:
    """Return the seconds of silence after which each reminder is due."""
    times = list(policy.escalation)
    while len(times) < policy.reminders_max:
        times.append((times[-1] if times else 0.0) + policy.repeat)
    return tuple(times[: policy.reminders_max])


def reminder_due(policy: Policy, since: datetime, now: datetime) -> int:
    """Return the number of the newest reminder that is due, 0 when none is."""
    elapsed = (now - since).total_seconds()
    return sum(elapsed >= seconds for seconds in reminder_times(policy))
