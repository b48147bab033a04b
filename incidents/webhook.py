"""Signed webhooks as https://www.standardwebhooks.com describes them, so that its libraries verify them.

Headers: ``webhook-id`` (the same for every try of one message), ``webhook-timestamp`` (seconds),
``webhook-signature`` (``v1,`` and the base64 of HMAC-SHA256 over ``id.timestamp.body``). A receiver refuses a
timestamp that is more than five minutes off and drops an id that it has seen.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Any

import requests
from apprise.utils.http import HTTPPolicy, HTTPPolicySession
from django.utils.translation import gettext as _

from incidents.addresses import RESOLVE_S, may_connect, webhook_host

PREFIX = "whsec_"
#: Seconds to connect, and between two reads.
TIMEOUT_S = (4.0, 8.0)
#: Bytes of a key, at least.
SHORTEST_KEY = 24


def new_secret() -> str:
    """Return a fresh signing secret."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def key_of(secret: str) -> bytes:
    """Return the bytes that sign.

    Raises:
        ValueError: it is not ``whsec_`` and base64 of at least 24 bytes.
    """
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(_("The signing secret is whsec_ and base64.")) from error
    if len(key) < SHORTEST_KEY:
        raise ValueError(_("The signing secret needs at least 24 bytes."))
    return key


def sign(key: bytes, ident: str, timestamp: int, body: bytes) -> str:
    """Return the value of ``webhook-signature``."""
    signed = f"{ident}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def post(*, url: str, secret: str, ident: str, timestamp: int, payload: Mapping[str, Any]) -> str:
    """Send one signed message; return what went wrong, empty when the receiver took it (2xx).

    It connects to the address that was checked and follows no redirect.

    Raises:
        AddressRefused: the URL is not allowed any more.
    """
    host = webhook_host(url)
    body = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
    headers = {
        "content-type": "application/json",
        "user-agent": "Bonghwa",
        "webhook-id": ident,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(key_of(secret), ident, timestamp, body),
    }
    open_session: Any = HTTPPolicySession  # Apprise types these only in part
    make_policy: Any = HTTPPolicy
    policy = make_policy(address_filter=lambda found: may_connect(host, found), resolve_timeout=RESOLVE_S)
    try:
        with (
            open_session(policy) as session,
            session.post(
                url, data=body, headers=headers, timeout=TIMEOUT_S, allow_redirects=False, stream=True
            ) as answer,
        ):
            return "" if 200 <= answer.status_code < 300 else f"HTTP {answer.status_code}"
    except requests.RequestException as error:
        # Its text holds the URL.
        return type(error).__name__
