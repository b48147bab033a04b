"""Typed readers for the environment variables of ``.env.example``; a wrong value is one clear line."""

from __future__ import annotations

import os
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from environs import EnvError, FileAwareEnv

from gateway.config import (
    SIMULATOR_KEY,
    ConfigError,
    FeedConfig,
    Mode,
    RetryConfig,
    UpstreamConfig,
    hosts,
    nameless_keys,
    pair_keys,
)

env = FileAwareEnv(strip_whitespace=True)


def data_dir(base: Path) -> Path:
    """Return ``DATA_DIR`` (default ``var/``) as an existing absolute folder.

    Raises:
        ImproperlyConfigured: it cannot be made.
    """
    folder = Path(env.str("DATA_DIR", "") or base / "var").resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(f"DATA_DIR={folder} cannot be created: {error.strerror}.") from error
    return folder


def secret_key(folder: Path) -> str:
    """Return ``SECRET_KEY``, or the one kept in ``DATA_DIR/secret_key``, made on first use (mode 0600)."""
    if given := env.str("SECRET_KEY", ""):
        return given
    path = folder / "secret_key"
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(64))
    except FileExistsError:
        pass
    except OSError as error:
        raise ImproperlyConfigured(
            f"SECRET_KEY is not set and {path} cannot be written: {error.strerror}."
        ) from error
    return path.read_text().strip()


def upstream_config() -> UpstreamConfig:
    """Read ``KIWOOM_*`` and the upstream's ``GATEWAY_*``.

    Raises:
        ImproperlyConfigured: a value is missing or wrong.
    """
    try:
        mode = env.enum("KIWOOM_MODE", Mode.SIMULATOR, enum=Mode, by_value=True)
        beside = f"127.0.0.1:{env.int('PORT', 5111) + 1}" if mode is Mode.SIMULATOR else ""
        rest_url, ws_url = hosts(
            mode,
            env.str("KIWOOM_REST_URL", "") or (beside and f"http://{beside}"),
            env.str("KIWOOM_WS_URL", "") or (beside and f"ws://{beside}"),
        )
        no_values: list[str] = []
        app_keys, secret_keys = (
            [value.strip() for value in env.list(name, no_values) if value.strip()]
            for name in ("KIWOOM_APP_KEY", "KIWOOM_SECRET_KEY")
        )
        if mode is Mode.SIMULATOR and not app_keys and not secret_keys:
            app_keys, secret_keys = [SIMULATOR_KEY[0]], [SIMULATOR_KEY[1]]
        keys = pair_keys(app_keys, secret_keys) or nameless_keys(env.int("KIWOOM_CONNECTIONS", 0))
        retry = RetryConfig()
        default = UpstreamConfig(
            mode=mode,
            rest_url=rest_url,
            ws_url=ws_url,
            keys=keys,
            calendar=env.str("GATEWAY_CALENDAR", "always" if mode is Mode.SIMULATOR else "krx"),
        )
        return replace(
            default,
            retry=RetryConfig(
                base=env.float("GATEWAY_RETRY_BASE", retry.base),
                cap=env.float("GATEWAY_RETRY_CAP", retry.cap),
                start_jitter=env.float("GATEWAY_START_JITTER", retry.start_jitter),
                attempt_limit=env.int("GATEWAY_ATTEMPT_LIMIT", retry.attempt_limit),
                stable_after=env.float("GATEWAY_STABLE_AFTER", retry.stable_after),
                breaker_failures=env.int("GATEWAY_BREAKER_FAILURES", retry.breaker_failures),
                breaker_delay=env.float("GATEWAY_BREAKER_DELAY", retry.breaker_delay),
                parked_probe=env.float("GATEWAY_PARKED_PROBE", retry.parked_probe),
            ),
            open_timeout=env.float("GATEWAY_OPEN_TIMEOUT", default.open_timeout),
            login_timeout=env.float("GATEWAY_LOGIN_TIMEOUT", default.login_timeout),
            silence_floor=env.float("GATEWAY_SILENCE_FLOOR", default.silence_floor),
            stale_after=env.float("GATEWAY_STALE_AFTER", default.stale_after),
            silent_after=env.float("GATEWAY_SILENT_AFTER", default.silent_after),
            lease_ttl=env.float("GATEWAY_LEASE_TTL", default.lease_ttl),
            lease_renew=env.float("GATEWAY_LEASE_RENEW", default.lease_renew),
            linger=env.float("GATEWAY_LINGER", default.linger),
            items_per_connection=env.int("GATEWAY_ITEMS_PER_CONNECTION", default.items_per_connection),
        )
    except (ConfigError, EnvError, ValueError) as error:
        raise ImproperlyConfigured(str(error)) from error


def feed_config() -> FeedConfig:
    """Read ``FEED_*``.

    Raises:
        ImproperlyConfigured: a value is wrong.
    """
    readers: dict[type, Any] = {int: env.int, float: env.float}
    try:
        values = {
            name: readers[type(item.default)](f"FEED_{name.upper()}", item.default)
            for name, item in FeedConfig.__dataclass_fields__.items()
        }
    except (EnvError, ValueError) as error:
        raise ImproperlyConfigured(str(error)) from error
    return FeedConfig(**values)
