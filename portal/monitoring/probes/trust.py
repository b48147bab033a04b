"""TLS contexts of the probes: the system's certificates, certifi's, and those of ``PROBE_CA_FILE``."""

from __future__ import annotations

import ssl
from functools import cache

import certifi


@cache
def verifying(ca_file: str = "") -> ssl.SSLContext:
    """Return a context that checks the chain and the host name.

    Raises:
        OSError: ``ca_file`` cannot be read.
    """
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    if ca_file:
        context.load_verify_locations(ca_file)
    return context


@cache
def looking() -> ssl.SSLContext:
    """Return a context that takes any certificate: only to read one that was refused, nothing is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
