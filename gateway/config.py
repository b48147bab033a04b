"""Frozen settings of the gateway, read once from the environment. Knows no framework."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit


class ConfigError(ValueError):
    """A setting is missing or wrong; the message says which one and what to do."""


class Mode(StrEnum):
    """Which Kiwoom server the gateway talks to."""

    SIMULATOR = "simulator"
    MOCK = "mock"
    REAL = "real"


#: (REST base URL, WebSocket base URL) by mode. Source: Kiwoom's published specification.
HOSTS: dict[Mode, tuple[str, str]] = {
    Mode.SIMULATOR: ("http://127.0.0.1:5112", "ws://127.0.0.1:5112"),
    Mode.MOCK: ("https://mockapi.kiwoom.com", "wss://mockapi.kiwoom.com:10000"),
    Mode.REAL: ("https://api.kiwoom.com", "wss://api.kiwoom.com:10000"),
}

#: Key pair that the simulator accepts when none is configured; worthless anywhere else.
SIMULATOR_KEY = ("simulator-app-key", "simulator-secret-key")


@dataclass(frozen=True, slots=True)
class AppKey:
    """One Kiwoom app key pair. ``slot`` is its stable public name: secrets never appear in status or logs."""

    slot: str
    app_key: str = field(repr=False)
    secret_key: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryConfig:
    """Reconnect policy. Delays are in seconds."""

    base: float = 1.0
    factor: float = 2.0
    cap: float = 60.0
    start_jitter: float = 5.0
    attempt_limit: int = 100
    stable_after: float = 60.0
    breaker_failures: int = 5
    breaker_delay: float = 30.0
    parked_probe: float = 300.0
    kick_limit: int = 3
    kick_window: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamConfig:
    """Everything the gateway process needs to own its Kiwoom connections. Times are in seconds."""

    mode: Mode
    rest_url: str
    ws_url: str
    keys: tuple[AppKey, ...]
    calendar: str = "krx"
    retry: RetryConfig = RetryConfig()
    open_timeout: float = 10.0
    login_timeout: float = 10.0
    silence_floor: float = 45.0
    stale_after: float = 90.0
    silent_after: float = 120.0
    lease_ttl: float = 15.0
    lease_renew: float = 5.0
    reg_batch: int = 100
    reg_per_second: float = 4.0
    linger: float = 60.0
    items_per_connection: int = 200
    last_value_interval: float = 0.1

    def __post_init__(self) -> None:
        for name, url, schemes in (
            ("KIWOOM_REST_URL", self.rest_url, ("https", "http")),
            ("KIWOOM_WS_URL", self.ws_url, ("wss", "ws")),
        ):
            parts = urlsplit(url)
            if parts.scheme not in schemes or not parts.hostname:
                raise ConfigError(f"{name}={url!r} is not a URL with scheme {' or '.join(schemes)}.")
            plain = parts.scheme in ("http", "ws")
            if plain and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
                raise ConfigError(
                    f"{name}={url!r}: plain {parts.scheme}:// is allowed to loopback only; use TLS."
                )
        if self.calendar not in ("krx", "always"):
            raise ConfigError(f"GATEWAY_CALENDAR={self.calendar!r} must be 'krx' or 'always'.")
        if not self.keys:
            raise ConfigError(
                f"KIWOOM_MODE={self.mode} needs KIWOOM_APP_KEY and KIWOOM_SECRET_KEY in the environment."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedConfig:
    """Limits of ``/ws`` and of the hub behind it. Sizes in bytes, times in seconds unless named ``_ms``."""

    max_connections: int = 2000
    max_connections_per_key: int = 5
    max_connections_per_address: int = 20
    connect_rate: float = 50.0
    max_topics: int = 200
    flush_ms: float = 5.0
    queue_frames: int = 256
    queue_bytes: int = 1024 * 1024
    send_buffer: int = 256 * 1024
    slow_after: float = 5.0
    max_message_bytes: int = 16 * 1024
    max_messages_per_second: float = 20.0
    login_timeout: float = 10.0
    ping_interval: float = 10.0
    wanted_ttl: float = 15.0
    token_lifetime: float = 24 * 3600.0
    memory_limit: int = 0
    memory_shed_ratio: float = 0.85
    drain_timeout: float = 30.0
    rebalance_rate: float = 50.0


def pair_keys(app_keys: list[str], secret_keys: list[str]) -> tuple[AppKey, ...]:
    """Pair comma-separated keys and secrets in order; the slots are ``key-1``, ``key-2``, …

    Raises:
        ConfigError: the lists differ in length or a key is given twice.
    """
    if len(app_keys) != len(secret_keys):
        raise ConfigError(
            f"KIWOOM_APP_KEY has {len(app_keys)} entries and KIWOOM_SECRET_KEY {len(secret_keys)}; "
            "give one secret for each key, in the same order."
        )
    if len(set(app_keys)) != len(app_keys):
        raise ConfigError("KIWOOM_APP_KEY lists a key twice; one key can hold only one connection.")
    pairs = zip(app_keys, secret_keys, strict=True)
    return tuple(AppKey(f"key-{number}", key, secret) for number, (key, secret) in enumerate(pairs, 1))


def nameless_keys(number: int) -> tuple[AppKey, ...]:
    """Return ``number`` slots without credentials, for processes that read the gateway and are not it.

    Raises:
        ConfigError: the number is negative or above 100.
    """
    if not 0 <= number <= 100:
        raise ConfigError(f"KIWOOM_CONNECTIONS={number} must be from 0 to 100.")
    return tuple(AppKey(f"key-{one}", "", "") for one in range(1, number + 1))


def hosts(mode: Mode, rest_url: str = "", ws_url: str = "") -> tuple[str, str]:
    """Return the REST and WebSocket base URLs of ``mode``, each replaced by an override when given."""
    rest, ws = HOSTS[mode]
    return (rest_url or rest).rstrip("/"), (ws_url or ws).rstrip("/")
