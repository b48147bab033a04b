"""Settings that start but cannot work, each with an id. ``manage.py up`` stops at the first error."""

from __future__ import annotations

import ipaddress
import math
import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Tags, Warning, register

from gateway.config import Mode
from portal.env import env
from portal.monitoring.probes.connectivity import parse_addresses
from portal.monitoring.probes.guard import parse_policy
from portal.monitoring.probes.trust import verifying

Configs = Sequence[AppConfig] | None

#: Numbers that may be 0: a wait, or a limit that 0 turns off. Every other one must be above it.
MAY_BE_ZERO = frozenset(
    {"GATEWAY_START_JITTER", "GATEWAY_STABLE_AFTER", "GATEWAY_BREAKER_DELAY", "GATEWAY_LINGER"}
    | {"FEED_FLUSH_MS", "FEED_MEMORY_LIMIT", "FEED_SEND_BUFFER", "FEED_REBALANCE_RATE"}
)
#: Characters of a key that seals secrets, at least.
SHORTEST_KEY = 32
#: Numbers of the upstream that no variable sets, and those that ``check_retry`` looks at.
NOT_ALONE = frozenset(
    {"reg_batch", "reg_per_second", "last_value_interval", "factor", "kick_limit", "kick_window"}
    | {"base", "cap", "attempt_limit", "breaker_failures"}
)


@register("portal")
def check_files(app_configs: Configs = None, **_: Any) -> list[CheckMessage]:
    """Check that no variable is given both as a value and as a file, of which one would go unnoticed."""
    return [
        Error(f"{name} and {name}_FILE are both set: the file would win. Remove one.", id="portal.E018")
        for name in env.dump()
        if os.environ.get(name) and os.environ.get(f"{name}_FILE")
    ]


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
def check_numbers(app_configs: Configs = None, **_: Any) -> list[CheckMessage]:
    """Check that limits and times are numbers that can be meant."""
    found: list[CheckMessage] = []
    for name, value in _numbers().items():
        least = "at least 0" if name in MAY_BE_ZERO else "above 0"
        if not math.isfinite(value) or value < 0 or (value == 0 and name not in MAY_BE_ZERO):
            found.append(Error(f"{name}={value:g} must be a number {least}.", id="portal.E011"))
    upstream, feed = settings.GATEWAY_UPSTREAM, settings.GATEWAY_FEED
    if upstream.lease_renew >= upstream.lease_ttl:
        found.append(Error("GATEWAY_LEASE_RENEW must be below GATEWAY_LEASE_TTL.", id="portal.E012"))
    if feed.memory_shed_ratio > 1:
        found.append(Error("FEED_MEMORY_SHED_RATIO must be at most 1.", id="portal.E013"))
    return found


def _numbers() -> dict[str, float]:
    upstream = {
        name: value
        for name, value in asdict(settings.GATEWAY_UPSTREAM).items()
        if isinstance(value, int | float)
    }
    numbers = {f"FEED_{name.upper()}": value for name, value in asdict(settings.GATEWAY_FEED).items()}
    for name, value in {**asdict(settings.GATEWAY_UPSTREAM.retry), **upstream}.items():
        if name not in NOT_ALONE:
            numbers[f"GATEWAY_{name.upper()}"] = value
    return numbers


@register("portal")
def check_probes(app_configs: Configs = None, **_: Any) -> list[CheckMessage]:
    """Check what probes may reach, and with which certificates."""
    found: list[CheckMessage] = []
    for name, read in (("PROBE_ALLOW", parse_policy), ("PROBE_CONNECTIVITY", parse_addresses)):
        try:
            read(getattr(settings, name))
        except ValueError as error:
            found.append(Error(f"{name}: {error}.", id="portal.E014"))
    try:
        verifying(settings.PROBE_CA_FILE)
    except OSError as error:
        found.append(Error(f"PROBE_CA_FILE={settings.PROBE_CA_FILE}: {error}.", id="portal.E015"))
    return found


@register("portal")
def check_watchers(app_configs: Configs = None, **_: Any) -> list[CheckMessage]:
    """Check the dead-man URL, whose text is a secret and is not shown, and the heartbeat deadline."""
    found: list[CheckMessage] = []
    if settings.DEADMAN_URL:
        try:
            parts = urlsplit(settings.DEADMAN_URL)
            fine = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            fine = False
        if not fine:
            found.append(
                Error("DEADMAN_URL must be an http:// or https:// URL with a host.", id="portal.E016")
            )
    if not settings.HEARTBEAT_DEADLINE >= 15:
        found.append(
            Error("HEARTBEAT_DEADLINE must be at least 15 s: workers beat every 10 s.", id="portal.E017")
        )
    return found


@register("portal")
def check_sessions(app_configs: Configs = None, **_: Any) -> list[CheckMessage]:
    """Check that a sign-in lasts, and that it ends."""
    if 300 <= settings.SESSION_IDLE <= settings.SESSION_COOKIE_AGE <= 7 * 24 * 3600:
        return []
    said = "SESSION_IDLE must be at least 300 s and at most SESSION_MAX, and that at most 604800 s (a week)."
    return [Error(said, id="portal.E030")]


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


def _has_raw_socket() -> bool:
    from portal.monitoring.runtimes.docker import DEFAULT_SOCKET  # imports the SDK, needed only here

    return settings.DOCKER_HOST.startswith("unix://") or (
        not settings.DOCKER_HOST and DEFAULT_SOCKET.exists()
    )


@register("portal")
def check_delivery(app_configs: Configs = None, **_: Any) -> list[CheckMessage]:
    """Check the numbers of the delivery of messages and the keys that seal the channels' addresses."""
    found: list[CheckMessage] = [Error(text, id="portal.E020") for text in settings.NOTIFY_POLICY.problems()]
    if any(len(key) < SHORTEST_KEY for key in settings.CHANNEL_KEY):
        text = (
            f"CHANNEL_KEY: each key needs at least {SHORTEST_KEY} characters, e.g. openssl rand -base64 32."
        )
        found.append(Error(text, id="portal.E021"))
    return found


@register("portal")
def check_audit(app_configs: Configs = None, **_: Any) -> list[CheckMessage]:
    """Check the keys that sign the audit and how long it is kept."""
    found: list[CheckMessage] = []
    if any(len(key) < SHORTEST_KEY for key in settings.AUDIT_KEY):
        text = f"AUDIT_KEY: each key needs at least {SHORTEST_KEY} characters, e.g. openssl rand -base64 32."
        found.append(Error(text, id="portal.E022"))
    if settings.AUDIT_KEEP_DAYS < 30:
        found.append(Error("AUDIT_KEEP_DAYS must be at least 30.", id="portal.E023"))
    return found


@register("portal")
def check_actions(app_configs: Configs = None, **_: Any) -> list[CheckMessage]:
    """Check the budget of restarts."""
    found: list[CheckMessage] = []
    if settings.ACTION_BUDGET < 1:
        found.append(Error("ACTION_BUDGET must be at least 1.", id="portal.E024"))
    for name in ("ACTION_SPACING", "ACTION_CHECK_AFTER"):
        if not 0 <= getattr(settings, name) <= 3600:
            found.append(Error(f"{name} must be between 0 and 3600 s.", id="portal.E025"))
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
    if settings.HTTPS and _has_raw_socket():
        found.append(
            Warning(
                "The collect worker reaches the Docker socket itself: whoever controls the worker controls "
                "the machine. Set DOCKER_HOST to the address of the proxy of deploy/nginx/docker-read.conf.",
                id="portal.W001",
            )
        )
    return found
