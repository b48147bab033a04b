"""``/docs/feed/``: how to connect, with code to copy. Public: it holds nothing but what clients need."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from gateway.api import SYMBOLS_MAX, TICKET_TTL
from gateway.config import FeedConfig
from gateway.feed_types import type_choices
from gateway.tickets import PER_MINUTE


@dataclass(frozen=True, slots=True)
class Snippet:
    """Code to copy; ``name`` is also its file's name."""

    name: str
    code: str


def base_url() -> str:
    """Return the site's address as people see it, without a slash at its end."""
    return str(settings.PUBLIC_URL)


def ws_url() -> str:
    """Return the feed's address."""
    parts = urlsplit(base_url())
    return f"{'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}{parts.path}/ws"


def snippet(name: str) -> Snippet:
    """Return the snippet ``name`` with this site's addresses in it."""
    values = {"url": base_url(), "ws": ws_url()}
    return Snippet(name, render_to_string(f"gateway/snippets/{name}.txt", values).strip())


def states() -> list[tuple[str, str, str]]:
    """Return code, word and meaning of each SYSTEM frame."""
    return [
        ("B1001", "live", _("rows flow")),
        ("B1002", "reconnecting", _("the exchange feed is away; stay connected, rows resume by themselves")),
        ("B1003", "stale", _("no new rows although there should be; as_of is the time of the last ones")),
        ("B1004", "parked", _("the feed waits for an operator")),
        ("B1005", "closed", _("outside of market hours")),
        ("B1006", "dropped", _("you read too slowly; this many rows were skipped")),
        ("B1007", "snapshot", _("times of the last known values that follow")),
        ("B1008", "gap", _("rows between from and to may be missing")),
        ("B1009", "rights changed", _("the key may not register these topics any more")),
    ]


def closes() -> list[tuple[int, str, str]]:
    """Return code, meaning and what to do for each close."""
    never, later = _("do not come back by yourself"), _("wait for retry_after, then come back")
    return [
        (
            4401,
            _("bad key, revoked key, expired token, or no LOGIN in time"),
            _("get a new token once; then stop"),
        ),
        (4403, _("not allowed, or sent away by an operator"), never),
        (4408, _("too slow: over the queue's limit for too long"), later),
        (4429, _("over a limit"), later),
        (1012, _("the server restarts"), later),
        (1013, _("the server is full or short of memory"), later),
        (1003, _("binary frame"), never),
        (1009, _("frame too big"), never),
    ]


def limits(config: FeedConfig) -> list[tuple[str, str]]:
    """Return what a client has to keep to, with the values in force."""
    return [
        (_("connections of one key, unless the key says otherwise"), f"{config.max_connections_per_key:,}"),
        (_("connections from one address"), f"{config.max_connections_per_address:,}"),
        (_("items of one connection, unless the key says fewer"), f"{config.max_topics:,}"),
        (_("bytes of one frame from a client"), f"{config.max_message_bytes:,}"),
        (_("frames a second from a client"), f"{config.max_messages_per_second:g}"),
        (_("seconds until LOGIN must have come"), f"{config.login_timeout:g}"),
        (_("frames that may wait for one client"), f"{config.queue_frames:,}"),
        (_("bytes that may wait for one client"), f"{config.queue_bytes:,}"),
        (_("seconds over that before a client is closed"), f"{config.slow_after:g}"),
        (_("seconds between two PINGs"), f"{config.ping_interval:g}"),
        (_("seconds that a token lives"), f"{config.token_lifetime:,.0f}"),
        (_("seconds that a ticket lives, for one connection"), f"{TICKET_TTL:,}"),
        (_("tickets a minute for one key or person"), f"{PER_MINUTE:,}"),
        (_("symbols of one request for last prices"), f"{SYMBOLS_MAX:,}"),
    ]


@require_GET
def page(request: HttpRequest) -> HttpResponse:
    """Show anybody how to connect."""
    context = {
        "url": base_url(),
        "ws": ws_url(),
        "curl": [snippet(name) for name in ("token.sh", "quotes.sh", "ticket.sh")],
        "python": snippet("prices.py"),
        "server": snippet("server.mjs"),
        "browser": snippet("index.html"),
        "frames": snippet("frames.txt"),
        "states": states(),
        "closes": closes(),
        "limits": limits(settings.GATEWAY_FEED),
        "types": type_choices(),
    }
    return render(request, "gateway/docs.html", context)
