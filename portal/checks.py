"""Settings that start but cannot work, each with an id. ``manage.py up`` stops at the first error."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Tags, register

from gateway.config import Mode

Configs = Sequence[AppConfig] | None


@register("portal")
def check_addresses(app_configs: Configs = None, **_: Any) -> list[CheckMessage]:
    """Check that the public address can reach this process."""
    found: list[CheckMessage] = []
    host = urlsplit(settings.PUBLIC_URL).hostname or ""
    allowed = settings.ALLOWED_HOSTS
    suffixes = tuple(name for name in allowed if name.startswith("."))
    if not host:
        found.append(Error(f"PUBLIC_URL={settings.PUBLIC_URL!r} is not a URL.", id="portal.E001"))
    elif host not in allowed and "*" not in allowed and not f".{host}".endswith(suffixes or ("\0",)):
        found.append(Error(f"ALLOWED_HOSTS does not list {host}, the host of PUBLIC_URL.", id="portal.E002"))
    if settings.HTTPS and not settings.TRUSTED_PROXIES:
        found.append(
            Error(
                "PUBLIC_URL is https but TRUSTED_PROXIES is empty: every request would be redirected to "
                "itself. List the proxy's address.",
                id="portal.E003",
            )
        )
    for network in settings.TRUSTED_PROXIES:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError:
            found.append(
                Error(f"TRUSTED_PROXIES: {network!r} is not an address or network.", id="portal.E004")
            )
    return found


@register("portal")
def check_ports(app_configs: Configs = None, **_: Any) -> list[CheckMessage]:
    """Check that no two listeners share a port."""
    used = {"PORT": settings.PORT}
    if settings.GATEWAY_UPSTREAM.mode is Mode.SIMULATOR:
        used["KIWOOM_REST_URL"] = urlsplit(settings.GATEWAY_UPSTREAM.rest_url).port or 80
    if settings.EMBEDDED_REDIS:
        used["EMBEDDED_REDIS_PORT"] = urlsplit(settings.REDIS_URL).port or 6379
    found: list[CheckMessage] = []
    for name, port in used.items():
        if not 0 < port < 65536:
            found.append(Error(f"{name}: {port} is not a port.", id="portal.E005"))
    if len(set(used.values())) < len(used):
        names = ", ".join(f"{name}={port}" for name, port in used.items())
        found.append(Error(f"Two parts would listen on the same port: {names}.", id="portal.E006"))
    return found


@register("portal")
def check_language(app_configs: Configs = None, **_: Any) -> list[CheckMessage]:
    """Check that the default language is one that the portal speaks."""
    spoken = [code for code, _name in settings.LANGUAGES]
    if settings.LANGUAGE_CODE in spoken:
        return []
    text = f"LANGUAGE_CODE={settings.LANGUAGE_CODE!r} must be one of {', '.join(spoken)}."
    return [Error(text, id="portal.E007")]


@register("portal")
def check_retry(app_configs: Configs = None, **_: Any) -> list[CheckMessage]:
    """Check that the reconnect policy's numbers fit each other."""
    retry = settings.GATEWAY_UPSTREAM.retry
    found: list[CheckMessage] = []
    if not 0 < retry.base <= retry.cap:
        found.append(
            Error("GATEWAY_RETRY_BASE must be above 0 and at most GATEWAY_RETRY_CAP.", id="portal.E008")
        )
    if retry.attempt_limit < 1 or retry.breaker_failures < 1:
        found.append(
            Error("GATEWAY_ATTEMPT_LIMIT and GATEWAY_BREAKER_FAILURES must be at least 1.", id="portal.E009")
        )
    return found


@register("portal")
def check_channels(app_configs: Configs = None, **_: Any) -> list[CheckMessage]:
    """Check that every notification URL is understood; its text is a secret and is not shown."""
    if not settings.NOTIFY_URLS:
        return []
    from apprise import Apprise  # slow to import, needed only when a channel is set

    found: list[CheckMessage] = []
    for number, url in enumerate(settings.NOTIFY_URLS, 1):
        if not Apprise().add(url):
            found.append(
                Error(f"NOTIFY_URLS: entry {number} is not a URL that Apprise knows.", id="portal.E010")
            )
    return found


@register(Tags.security, deploy=True)
def check_production(app_configs: Configs = None, **_: Any) -> list[CheckMessage]:
    """Tell what is fine on a laptop and not on a public server."""
    found: list[CheckMessage] = []
    if settings.HTTPS and settings.GATEWAY_UPSTREAM.mode is Mode.SIMULATOR:
        found.append(
            Info("KIWOOM_MODE=simulator on a public address: prices are invented.", id="portal.I001")
        )
    if settings.HTTPS and settings.EMBEDDED_REDIS:
        found.append(
            Info("REDIS_URL is not set: the embedded Valkey serves one machine only.", id="portal.I002")
        )
    return found
