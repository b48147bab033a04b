"""``/health/proxy``: what of a request arrived here: whoever sent it sees what the proxies made of it.

It answers before host checks and redirects, which are what a wrong proxy breaks, and tells nothing but the
caller's own request. Its reader is :mod:`portal.operations.proxy_hop`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from django.conf import settings
from django.http import HttpRequest

from gateway.limits import client_address

#: Characters of a header that are told.
MAX_SHOWN = 100


def arrived(request: HttpRequest) -> bytes:
    """Return JSON with ``scheme``, ``host``, ``connection`` and ``address``.

    ``address`` says how the caller's address is known: ``forwarded`` by a proxy of ``TRUSTED_PROXIES``,
    ``ignored`` when the one that forwarded it is none of them, ``absent`` when nobody forwarded any.
    """
    return orjson.dumps(
        {
            "scheme": request.scheme,
            "host": request.META.get("HTTP_HOST", "")[:MAX_SHOWN],
            "connection": request.META.get("HTTP_CONNECTION", "")[:MAX_SHOWN],
            "address": _address(request.META),
        }
    )


def _address(meta: Mapping[str, Any]) -> str:
    forwarded, peer = meta.get("HTTP_X_FORWARDED_FOR", ""), meta.get("REMOTE_ADDR", "")
    if not forwarded:
        return "absent"
    # A trusted peer is never what is counted, unless the address in front of it is its own.
    believed = client_address(peer, "0.0.0.0", settings.TRUSTED_PROXIES) == "0.0.0.0"  # noqa: S104 - no listener
    return "forwarded" if believed else "ignored"
