"""TLS probe: the chain is valid, the certificate is the host's, and it lasts long enough."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime

from cryptography import x509

from portal.monitoring.probes import trust
from portal.monitoring.probes.base import ProbeReading, Stopwatch, Target, unknown
from portal.monitoring.probes.guard import Guard, Refused
from portal.monitoring.probes.urls import Place, parse


def probe_tls(target: Target, guard: Guard) -> ProbeReading:
    """Shake hands with ``target.url`` and judge the certificate.

    A certificate that is refused is fetched again without checking, so that its end is known all the same.
    """
    watch = Stopwatch()
    problem = ""
    try:
        place = parse("tls", target.url)
        try:
            der = _certificate(place, target, guard, trust.verifying(guard.ca_file), target.timeout_s)
        except ssl.SSLCertVerificationError as error:
            problem = error.verify_message or str(error)
            left = max(0.05, target.timeout_s - watch.ms / 1000)
            der = _certificate(place, target, guard, trust.looking(), left)
    except Refused as refusal:
        return unknown(f"refused: {refusal}")
    except TimeoutError:
        return watch.failed(f"no TLS handshake within {target.timeout_s:g} s")
    except ssl.SSLError as error:
        return watch.failed(f"no TLS handshake: {error.reason or error}")
    except (OSError, ValueError) as error:
        return watch.failed(str(error) or type(error).__name__)
    return _judged(der, problem, target, watch)


def _certificate(
    place: Place, target: Target, guard: Guard, context: ssl.SSLContext, timeout: float
) -> bytes:
    with (
        guard.connect(place.host, place.port, timeout) as connection,
        context.wrap_socket(connection, server_hostname=target.host or place.host) as secured,
    ):
        return secured.getpeercert(binary_form=True) or b""


def _judged(der: bytes, problem: str, target: Target, watch: Stopwatch) -> ProbeReading:
    try:
        expires = x509.load_der_x509_certificate(der).not_valid_after_utc
    except ValueError as error:
        return watch.failed(f"the certificate cannot be read: {error}")
    days = int((expires - datetime.now(UTC)).total_seconds() // 86400)
    end = f"{expires:%Y-%m-%d %H:%M} UTC"
    if problem:
        about = f"expired on {end}" if days < 0 else f"valid until {end}"
        return watch.failed(f"certificate not trusted: {problem} ({about})", expires_at=expires)
    if days < target.min_days:
        text = f"certificate ends in {days} days, on {end}; at least {target.min_days} days are expected"
        return watch.failed(text, expires_at=expires)
    return watch.passed(f"certificate valid for {days} days, until {end}", expires_at=expires)
