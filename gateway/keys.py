"""Names of everything the gateway keeps in Redis; one place, so that an ACL can be written from it.

Rows travel as text: ``{"data":[ROW,ROW],"trnm":"REAL"}`` is assembled by the hub from rows that were
encoded once, escaped to ASCII, by the upstream. A topic is ``TYPE:ITEM``, e.g. ``0B:005930``.
"""

PREFIX = "gateway:"
#: JSON of :class:`gateway.status.GatewayStatus`, one per slot, with a TTL.
STATUS = PREFIX + "status:{slot}"
#: List of JSON attempts, newest first, trimmed to 200.
ATTEMPTS = PREFIX + "attempts:{slot}"
#: Pub/sub channel that repeats STATUS on every change.
STATUS_CHANNEL = PREFIX + "status"
#: List of JSON of :class:`gateway.status.Gap`, newest first, trimmed to 200.
GAPS = PREFIX + "gaps:{slot}"
#: Pub/sub channel that repeats each new gap.
GAPS_CHANNEL = PREFIX + "gaps"
#: JSON of :class:`gateway.gaps.Flow`: until when a slot's rows were delivered, left for the next owner.
FLOW = PREFIX + "flow:{slot}"
#: JSON of :class:`gateway.placement.Placement`: which item is registered with which key.
PLACEMENT = PREFIX + "placement"
#: Pub/sub channel of one topic. Message: ``FENCE|ROW,ROW`` (ASCII decimal fencing number).
ROWS_CHANNEL = PREFIX + "rows:{topic}"
#: Hash of topic to ``FENCE|UNIX_MS|ROW``: the last known value.
LAST = PREFIX + "last"
#: JSON list of the topics one web process wants, with a TTL (``FEED_WANTED_TTL``).
WANTED = PREFIX + "wanted:{process}"
#: Pub/sub channel that says "read the WANTED keys now"; the message itself means nothing.
WANTED_CHANNEL = PREFIX + "wanted"
#: JSON of one web process's feed (connections, topics, drops), with a TTL.
FEED = PREFIX + "feed:{process}"
#: Set with a TTL while an operator looks at the feed's page: processes report only then.
FEED_WATCHED = PREFIX + "feed-watched"
#: JSON of one web process's connections and topics (:mod:`gateway.feed_report`), with a TTL.
FEED_REPORT = PREFIX + "feed-report:{process}"
#: Pub/sub channel of one web process. Message: JSON of :class:`gateway.feed_report.Disconnect`.
DISCONNECT_CHANNEL = PREFIX + "disconnect:{process}"
#: List with the one answer to such a message, with a TTL.
DISCONNECT_REPLY = PREFIX + "disconnect-reply:{ident}"
#: Pub/sub channel of one drill: what its session would tell clients. Nothing but the drill listens.
DRILL_CHANNEL = PREFIX + "drill:{ident}"
#: Owner of a slot: ``OWNER|FENCE`` with the lease's TTL.
LEASE = PREFIX + "lease:{slot}"
#: Set of the slots that any process has owned.
SLOTS = PREFIX + "slots"
#: Last fencing number of a slot.
FENCE = PREFIX + "fence:{slot}"
#: Sorted set of the processes that stand by for a slot, scored with the unix time they were last seen.
STANDBY = PREFIX + "standby:{slot}"
#: Why a person keeps the slot's breaker open; absent while nobody does. It outlives processes and leases.
HELD = PREFIX + "held:{slot}"
#: List of JSON commands for a slot (``resume``, ``open_breaker``, ``close_breaker``), at most COMMANDS_MAX.
COMMANDS = PREFIX + "commands:{slot}"
#: Commands that wait for a slot at most; older ones are dropped.
COMMANDS_MAX = 20
#: Feed tokens: SHA-256 of the token to JSON, or ``revoked``, with the token's lifetime as TTL.
TOKEN = PREFIX + "token:{digest}"
#: The feed token a key holds now, as JSON ``{"nonce","expires"}``; the token itself is never stored.
TOKEN_OF = PREFIX + "token-of:{key}"
#: Browser tickets: SHA-256 of the ticket to JSON, taken away by the first use.
TICKET = PREFIX + "ticket:{digest}"
#: Counters of one minute: token requests by address and by key, failed ones by address, tickets by subject.
COUNTER = PREFIX + "count:{what}:{who}"
#: Pub/sub channel of feed keys whose rights changed. Message: the key's number.
KEYS_CHANNEL = PREFIX + "keys"
#: Heartbeats of other parts: unix seconds as text, with a TTL.
HEARTBEAT = "heartbeat:{name}"
