"""What an address of a channel may be: a scheme of the allow-list, a target outside of this network.

An address is entered by an administrator, yet it makes this machine connect somewhere: a target on
loopback, in a private network or at a cloud's metadata service is refused unless ``CHANNEL_INTERNAL_TARGETS``
lists it. The target is looked up when it is entered and again before each message.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import apprise
from apprise.utils.http import HTTPPolicy, is_public_ip_address
from django.conf import settings
from django.utils.translation import gettext as _

#: Characters of an address.
LONGEST = 2000
#: Seconds for the look-up of a target's name.
RESOLVE_S = 3.0
#: Services with an address of their own; every other scheme names its host.
CLOUD = {
    "tgram": "Telegram",
    "slack": "Slack",
    "discord": "Discord",
    "line": "LINE",
    "gchat": "Google Chat",
    "kakao": "KakaoTalk",
    "kakaotalk": "KakaoTalk",
    "ncloud": "Naver Cloud",
    "pover": "Pushover",
    "pagerduty": "PagerDuty",
    "opsgenie": "Opsgenie",
    "wxteams": "Webex",
    "zulip": "Zulip",
    "lark": "Lark",
    "twilio": "Twilio",
    "dingtalk": "DingTalk",
    "feishu": "Feishu",
}
#: Parameters by which an address reads local files or undoes what is set for all.
REFUSED = frozenset(
    {"template", "templates", "tmpl", "pgp", "pgpkey", "keyfile", "vapid", "subfile", "cert", "redirect"}
)


class AddressRefused(ValueError):
    """The address cannot be used; the text says why and never repeats a secret."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address that was understood. ``shown`` is safe to show."""

    shown: str
    hosts: tuple[str, ...]
    server: apprise.NotifyBase


def scheme_of(address: str) -> str:
    """Return the scheme in lower case, empty when there is none."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]{0,30})://", address)
    return found[1].lower() if found else ""


def understand(address: str) -> Address:
    """Check the form of an Apprise address; this makes no connection.

    Raises:
        AddressRefused: it is malformed, or its scheme is not on the allow-list.
    """
    scheme = scheme_of(address)
    if not scheme or len(address) > LONGEST or re.search(r"[\s\x00-\x1f]", address):
        raise AddressRefused(_("This is no address: it begins with a scheme, as tgram:// does."))
    if scheme not in settings.CHANNEL_SCHEMES:
        allowed = ", ".join(sorted(settings.CHANNEL_SCHEMES))
        raise AddressRefused(
            _("The scheme %(scheme)s is not allowed. CHANNEL_SCHEMES allows: %(allowed)s.")
            % {"scheme": scheme, "allowed": allowed}
        )
    if bad := REFUSED & {
        name.lower() for name in parse_qs(address.partition("?")[2], keep_blank_values=True)
    }:
        raise AddressRefused(_("The parameter %(name)s is not allowed.") % {"name": min(bad)})
    server = instantiate(address)
    if server is None:
        raise AddressRefused(_("Apprise does not understand this address; compare it with its manual."))
    if scheme in CLOUD or getattr(server, "mode", None) == "cloud":
        return Address(f"{scheme}:// ({CLOUD.get(scheme, server.service_name)})", (), server)
    hosts = tuple(dict.fromkeys(filter(None, (server.host, getattr(server, "smtp_host", None)))))
    return Address(f"{scheme}://{masked(hosts[0] if hosts else '')}", hosts, server)


def instantiate(address: str) -> apprise.NotifyBase | None:
    """Return Apprise's sender for ``address``; it follows no redirects and keeps nothing on disk."""
    asset = apprise.AppriseAsset(http_redirects=False, storage_mode="memory", secure_logging=True)
    server = apprise.Apprise.instantiate(address, asset=asset)
    return server if isinstance(server, apprise.NotifyBase) else None


def webhook_host(url: str) -> str:
    """Return the host of a webhook's URL.

    Raises:
        AddressRefused: it is no ``https://`` URL (``http://`` to listed internal targets only).
    """
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname or "", parts.port
    except ValueError:
        host, parts = "", urlsplit("")
    if not host or parts.username or len(url) > LONGEST or re.search(r"[\s\x00-\x1f]", url):
        raise AddressRefused(_("A webhook needs a URL such as https://host/path, without a password."))
    if parts.scheme != "https" and not (parts.scheme == "http" and is_listed(host)):
        raise AddressRefused(
            _("A webhook is called by https; http only to hosts of CHANNEL_INTERNAL_TARGETS.")
        )
    return host


def check_target(host: str) -> None:
    """Check where ``host`` leads.

    Raises:
        AddressRefused: it is not found, or it leads inside and is not listed.
    """
    if is_listed(host):
        return
    try:
        policy: Any = HTTPPolicy  # Apprise types it only in part
        answers = policy(resolve_timeout=RESOLVE_S).resolve(host.strip("[]"), None)
    except OSError as error:
        raise AddressRefused(_("The host of this address is not found.")) from error
    for answer in answers:
        if not may_connect(host, str(answer[4][0])):
            raise AddressRefused(
                _("This address leads into the internal network. CHANNEL_INTERNAL_TARGETS can allow it.")
            )


def may_connect(host: str, found: str) -> bool:
    """Whether a message may go to the address ``found`` for the name ``host``."""
    is_public: Any = is_public_ip_address
    return is_listed(host) or is_listed(found) or bool(is_public(found))


def is_listed(host: str) -> bool:
    """Whether ``CHANNEL_INTERNAL_TARGETS`` holds this name, or a network with this address."""
    name = host.strip("[]").lower()
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name in {one.lower() for one in settings.CHANNEL_INTERNAL_TARGETS}
    return any(address in network for network in map(_network, settings.CHANNEL_INTERNAL_TARGETS) if network)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def masked(host: str) -> str:
    """Return enough of a host to recognise it: ``ho….example``, ``10.…``."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        first, dot, last = host.rpartition(".")
        return f"{(first or last)[:2]}…{dot}{last if first else ''}"
    return f"{re.split('[.:]', host.strip('[]'))[0]}.…"
