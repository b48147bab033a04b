"""Words of the operators' feed page, in the active language. Knows no database."""

from __future__ import annotations

from django.utils.translation import gettext as _
from django.utils.translation import pgettext


def close_word(code: str) -> str:
    """Return why connections end with this close code; an unknown one has no words."""
    return {
        "1000": _("the client said goodbye"),
        "1001": _("the client went away"),
        "1003": _("binary frame"),
        "1005": _("the client closed without a code"),
        "1006": _("the connection broke"),
        "1009": _("frame too big"),
        "1012": _("restarting"),
        "1013": _("try later"),
        "4401": _("bad key, or no LOGIN in time"),
        "4403": _("not allowed"),
        "4408": _("too slow"),
        "4429": _("over a limit"),
    }.get(code, "")


def limit_word(field: str) -> str:
    """Return what a ``FEED_*`` setting limits; a new one has no words yet."""
    return {
        "max_connections": _("connections of one web process"),
        "max_connections_per_key": _("connections of one key, unless the key says otherwise"),
        "max_connections_per_address": _("connections from one address"),
        "connect_rate": _("new connections a second"),
        "max_topics": _("items of one connection, unless the key says fewer"),
        "flush_ms": _("shortest time between two frames to a client, ms"),
        "queue_frames": _("frames that may wait for one client"),
        "queue_bytes": _("bytes that may wait for one client"),
        "send_buffer": _("bytes that the kernel may hold for one client"),
        "slow_after": _("seconds over that before a client is closed"),
        "max_message_bytes": _("bytes of one frame from a client"),
        "max_messages_per_second": _("frames a second from a client"),
        "login_timeout": _("seconds until LOGIN must have come"),
        "ping_interval": _("seconds between two PINGs"),
        "wanted_ttl": _("seconds until a dead process's topics expire"),
        "token_lifetime": _("seconds that a token lives"),
        "memory_shed_ratio": _("share of the memory limit above which new clients are sent away"),
        "memory_limit": _("memory limit in bytes; 0 is the container's"),
        "drain_timeout": _("seconds for goodbyes when the server stops"),
        "rebalance_rate": _("connections a second that move to a web process that is added; 0: none"),
    }.get(field, "")


def outcome_word(outcome: str) -> str:
    """Return how an upstream attempt ended; an unknown outcome is shown as it is."""
    return {
        "live": pgettext("attempt", "connected"),
        "token": pgettext("attempt", "token refused"),
        "rejected": pgettext("attempt", "LOGIN rejected"),
        "kicked": pgettext("attempt", "kicked"),
        "closed": pgettext("attempt", "closed"),
        "refused": pgettext("attempt", "cannot connect"),
        "timeout": pgettext("attempt", "timeout"),
        "silent": pgettext("attempt", "silent"),
        "stale": pgettext("attempt", "rows stopped"),
        "held": pgettext("attempt", "held by hand"),
        "stopped": pgettext("attempt", "gateway stopped"),
    }.get(outcome, outcome)


def gap_word(reason: str) -> str:
    """Return why rows may be missing; an unknown reason is shown as it is."""
    return {
        "disconnected": _("the connection was lost"),
        "stale": _("no rows although connected"),
        "owner": _("the gateway stopped or was replaced"),
        "redis": _("Redis was away"),
    }.get(reason, reason)
