"""What a probe's URL may be. Pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

SCHEMES: dict[str, tuple[str, ...]] = {
    "http": ("http", "https"),
    "websocket": ("ws", "wss"),
    "tls": ("tls", "https", "wss"),
    "tcp": ("tcp",),
}
PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443, "tls": 443}
MAX_URL = 500


class BadUrl(ValueError):
    """A URL that cannot be probed; ``code`` is ``shape``, ``scheme``, ``host`` or ``port``."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Place:
    """Where a URL leads."""

    parts: SplitResult
    host: str
    port: int

    @property
    def is_literal(self) -> bool:
        """Whether the host is an address."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True

    @property
    def is_outside(self) -> bool:
        """Whether reaching it takes a network of ours: anything but a loopback or private address."""
        if self.host == "localhost":
            return False
        try:
            address = ipaddress.ip_address(self.host)
        except ValueError:
            return True
        return not (address.is_loopback or address.is_private or address.is_link_local)


def parse(kind: str, url: str) -> Place:
    """Return where ``url`` leads a probe of ``kind``.

    Raises:
        BadUrl: it cannot be probed; the message says why.
    """
    if not url or len(url) > MAX_URL or not url.isprintable() or " " in url:
        raise BadUrl("shape", f"a URL without spaces of at most {MAX_URL} characters is needed")
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        given = parts.port
    except ValueError as error:
        raise BadUrl("port" if "ort" in str(error) else "shape", str(error)) from error
    if parts.scheme not in SCHEMES[kind]:
        raise BadUrl(
            "scheme", f"the URL must begin with {' or '.join(f'{name}://' for name in SCHEMES[kind])}"
        )
    port = given if given is not None else PORTS.get(parts.scheme, 0)
    if not host:
        raise BadUrl("host", "the URL has no host")
    if not 0 < port < 65536:
        raise BadUrl("port", "the URL needs a port" if given is None else "there is no port 0")
    return Place(parts, host, port)
