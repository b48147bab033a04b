"""What a service's labels may ask for. Labels are hostile input: a container writes its own."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from django.conf import settings

from portal.monitoring.models import Endpoint, ProbeKind, RuntimeKind, Service

RESOLVE_AFTER = "bonghwa.resolve-after"
HTTP = "bonghwa.http"
WEBSOCKET = "bonghwa.ws"
TLS = "bonghwa.tls"
TCP = "bonghwa.tcp"
DEPENDS_ON = "bonghwa.depends-on"
#: Names that a label may name.
MAX_PARENTS = 20
_KINDS = (
    (ProbeKind.HTTP, HTTP, ("http", "https")),
    (ProbeKind.WEBSOCKET, WEBSOCKET, ("ws", "wss")),
    (ProbeKind.TLS, TLS, ("tls", "https", "wss")),
    (ProbeKind.TCP, TCP, ("tcp",)),
)
#: Seconds that the label may choose.
RESOLVE_RANGE = (5.0, 86_400.0)
MAX_URL = 300
#: A LOGIN that our own ``/ws`` must answer with a refusal: proof that the protocol is served, without a key.
EMPTY_LOGIN = '{"trnm":"LOGIN","token":""}'


def resolve_after_s(labels: Mapping[str, str]) -> float | None:
    """Return the resolve window that a label asks for, ``None`` without a sane one."""
    try:
        seconds = float(labels.get(RESOLVE_AFTER, ""))
    except ValueError:
        return None
    return seconds if RESOLVE_RANGE[0] <= seconds <= RESOLVE_RANGE[1] else None


def depends_on(labels: Mapping[str, str]) -> list[str]:
    """Return the names of services that a label, separated by commas, says this one depends on."""
    given = labels.get(DEPENDS_ON, "")
    names = [name.strip()[:200] for name in str(given)[: MAX_PARENTS * 200].split(",")]
    return [name for name in names if name][:MAX_PARENTS]


def allowed_url(url: str, *, schemes: tuple[str, ...], name: str) -> bool:
    """Whether a label may have ``url`` probed: these schemes, a private or loopback address or its own name.

    Link-local addresses (cloud metadata) and any other host name are refused: a name could lead anywhere.
    """
    if not url or len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname
    if parts.scheme not in schemes or not host or parts.username is not None or port == 0:
        return False
    if port is None and parts.scheme == "tcp":
        return False
    if host in ("localhost", name.lower()):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    inside = address.is_loopback or address.is_private
    return inside and not (address.is_link_local or address.is_unspecified or address.is_multicast)


def wanted(service: Service) -> dict[str, str]:
    """Return the URLs, by kind, that the labels of ``service`` ask for and may have."""
    labels = dict(service.labels)
    if service.runtime == RuntimeKind.PROCESS and service.name == "web":
        base = f"{'[::1]' if ':' in settings.BIND else '127.0.0.1'}:{settings.PORT}"
        labels = {HTTP: f"http://{base}/health", WEBSOCKET: f"ws://{base}/ws"} | labels
    found = {kind: (labels.get(label, ""), schemes) for kind, label, schemes in _KINDS}
    return {
        kind: url
        for kind, (url, schemes) in found.items()
        if allowed_url(url, schemes=schemes, name=service.name)
    }


def is_asked_for(endpoint: Endpoint) -> bool:
    """Whether ``endpoint`` is what its service's labels ask for now, as nobody changed it since."""
    service = endpoint.service
    return endpoint.from_label and service is not None and wanted(service).get(endpoint.kind) == endpoint.url


def sync_endpoints(service: Service) -> None:
    """Make, move or delete the endpoints that the labels of ``service`` ask for."""
    asked = wanted(service)
    for kind, label, _schemes in _KINDS:
        mine = Endpoint.objects.filter(service=service, kind=kind, from_label=True)
        url = asked.get(kind)
        if url is None:
            mine.delete()
            continue
        mine.exclude(url=url).delete()
        own_ws = (
            kind is ProbeKind.WEBSOCKET
            and service.runtime == RuntimeKind.PROCESS
            and label not in service.labels
        )
        Endpoint.objects.get_or_create(
            kind=kind,
            url=url,
            prober=None,
            defaults={
                "service": service,
                "name": f"{service.name} {kind.label}"[:200],
                "purpose": kind.label,
                "from_label": True,
                "send": EMPTY_LOGIN if own_ws else "",
            },
        )
