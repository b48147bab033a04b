"""How one message gets to one channel. A sender touches no database and never repeats an address."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import unquote

import apprise
from django.utils.translation import gettext as _

from incidents import addresses, vault, webhook
from incidents.inert import one_line
from incidents.models import Channel, ChannelKind

logger = logging.getLogger(__name__)

#: Shortest part of an address that is masked in what a channel says.
SHORTEST_SECRET = 4
#: Characters of a channel's complaint that are kept.
ERROR_MAX = 200


@dataclass(frozen=True, slots=True)
class Parcel:
    """What one channel gets. ``ident`` is the same for every try."""

    ident: str
    subject: str
    body: str
    payload: Mapping[str, Any]


class Sender(Protocol):
    """One way out. ``repeatable``: the receiver drops a parcel that it got already."""

    repeatable: bool

    def send(self, parcel: Parcel) -> str:
        """Send it; return what went wrong, empty when it was taken."""
        ...


class Unusable(Exception):
    """The channel cannot be used as it is; the text may be shown."""


class _Complaints(logging.Handler):
    """Keeps what Apprise says about a failure in the thread that sends, out of every log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.kept = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the last line of this thread."""
        self.kept.text = record.getMessage()


#: At lower levels Apprise prints addresses with their secrets, and urllib3 the token in a path.
_complaints = _Complaints()
_apprise = logging.getLogger("apprise")
_apprise.setLevel(logging.WARNING)
_apprise.propagate = False
_apprise.handlers = [_complaints]
logging.getLogger("urllib3.connectionpool").setLevel(logging.WARNING)


@dataclass(slots=True)
class AppriseSender:
    """Sends through Apprise; ``hosts`` are looked up before each message."""

    server: apprise.NotifyBase
    address: str
    hosts: tuple[str, ...] = ()
    repeatable: bool = False

    def send(self, parcel: Parcel) -> str:
        """Send it as plain text, which Apprise escapes for the format that the service reads."""
        _complaints.kept.text = ""
        try:
            for host in self.hosts:
                addresses.check_target(host)
            if self.server.notify(
                title=parcel.subject, body=parcel.body, body_format=apprise.NotifyFormat.TEXT
            ):
                return ""
        except addresses.AddressRefused as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything
            # Its text can hold the address with its secrets, so only the type is kept.
            return type(error).__name__
        return scrub(_complaints.kept.text, self.address) or _("it did not take the message")


@dataclass(slots=True)
class WebhookSender:
    """Posts signed JSON."""

    url: str
    secret: str
    repeatable: bool = True

    def send(self, parcel: Parcel) -> str:
        """Send it under its id with the time of this try."""
        try:
            return webhook.post(
                url=self.url,
                secret=self.secret,
                ident=parcel.ident,
                timestamp=int(time.time()),
                payload=parcel.payload,
            )
        except ValueError as error:
            return str(error)


def sender_of(channel: Channel, environment: Mapping[str, str]) -> Sender:
    """Return the sender of ``channel``; ``environment`` has the addresses of ``NOTIFY_URLS`` by digest.

    Raises:
        Unusable: its address cannot be read, or is not allowed any more.
    """
    try:
        if channel.kind == ChannelKind.ENVIRONMENT:
            # Whoever sets the environment may reach anything from here already.
            url = environment.get(channel.digest, "")
            server = addresses.instantiate(url) if url else None
            if server is None:
                raise Unusable(_("NOTIFY_URLS does not have it any more."))
            return AppriseSender(server, url)
        address = vault.unseal(channel.address)
        if channel.kind == ChannelKind.WEBHOOK:
            return WebhookSender(address, vault.unseal(channel.signing_secret))
        known = addresses.understand(address)
        return AppriseSender(known.server, address, known.hosts)
    except vault.Unreadable as error:
        raise Unusable(_("Its address cannot be read with the present keys: enter it again.")) from error
    except addresses.AddressRefused as error:
        raise Unusable(str(error)) from error


def scrub(text: str, address: str) -> str:
    """Return ``text`` as one short line without any part of ``address``."""
    parts = {part for form in (address, unquote(address)) for part in re.split(r"[^\w.-]+", form)[1:]}
    for part in sorted(parts, key=len, reverse=True):
        if len(part) >= SHORTEST_SECRET:
            text = text.replace(part, "***")
    return one_line(text, ERROR_MAX)
