"""Logging to standard error, plain lines or JSON, with every secret of the environment masked.

What a command prints for others to read has standard output for itself.
"""

from __future__ import annotations

import json
import logging
import logging.config
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from portal.env import env

MASK = "***"
#: Seconds in which one record of each of Django's security loggers is let through.
SECURITY_EVERY_S = 60.0
#: Variables whose values never appear in a log line. Shorter values than this are left alone.
SECRET_NAMES = (
    *("SECRET_KEY", "CHANNEL_KEY", "AUDIT_KEY", "KIWOOM_APP_KEY", "KIWOOM_SECRET_KEY", "NOTIFY_URLS"),
)
SHORTEST_SECRET = 6

_PATTERNS = (
    re.compile(r"(?i)(authorization['\"]?\s*[:=]\s*['\"]?(?:bearer\s+)?)[^\s'\",}]+"),
    re.compile(r"(?i)((?:app_?key|secret_?key|token|password|passwd)['\"]?\s*[:=]\s*['\"]?)[^\s'\",}&]+"),
    re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?=@)"),
)


def mask(text: str, secrets: tuple[str, ...] = ()) -> str:
    """Return ``text`` with ``secrets``, credentials in URLs and ``key=value`` secrets masked."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\g<1>{MASK}", text)
    return text


def environment_secrets() -> tuple[str, ...]:
    """Return the secret values of the environment (or of ``NAME_FILE``), longest first."""
    values: set[str] = set()
    for name in SECRET_NAMES:
        values.update(part.strip() for part in env.str(name, "").split(","))
    return tuple(sorted((value for value in values if len(value) >= SHORTEST_SECRET), key=len, reverse=True))


class MaskingFormatter(logging.Formatter):
    """One line per record, masked after formatting so that arguments and tracebacks are covered too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.secrets = environment_secrets()

    def format(self, record: logging.LogRecord) -> str:
        """Return the masked line."""
        return mask(super().format(record), self.secrets)


class RefusedRequests(logging.Filter):
    """Lets one record a minute of each ``django.security`` logger through, as a warning without a traceback.

    What Django refuses (a wrong Host header, a missing CSRF token) is the client's mistake, and a client may
    make it as often as it likes. The next record that comes says how many were held back.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._seen: dict[str, tuple[float, int]] = {}
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is let through."""
        if not record.name.startswith("django.security"):
            return True
        with self._lock:
            until, held = self._seen.get(record.name, (0.0, 0))
            now = self._now()
            if now < until:
                self._seen[record.name] = (until, held + 1)
                return False
            self._seen[record.name] = (now + SECURITY_EVERY_S, 0)
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.exc_info = None
        if held:
            record.msg, record.args = f"{record.getMessage()} ({held} more were not logged)", ()
        return True


class JsonFormatter(MaskingFormatter):
    """One JSON object per record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the masked object as one line."""
        entry = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": mask(record.getMessage(), self.secrets),
        }
        if record.exc_info:
            entry["traceback"] = mask(self.formatException(record.exc_info), self.secrets)
        return json.dumps(entry, ensure_ascii=False)


def configure(options: dict[str, Any]) -> None:
    """Configure logging from ``settings.LOGGING``: ``json`` (bool) and ``level`` (name)."""
    quiet = (
        "axes",
        "celery.app.trace",
        "celery.beat",
        "celery.worker.strategy",
        "httpx",
        "httpcore",
        "daphne",
        "kombu",
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "plain": {
                    "()": "portal.logging.MaskingFormatter",
                    "format": "%(asctime)s %(levelname)-7s %(name)s: %(message)s",
                    "datefmt": "%Y-%m-%d %H:%M:%S%z",
                },
                "json": {"()": "portal.logging.JsonFormatter"},
            },
            "filters": {"refused": {"()": "portal.logging.RefusedRequests"}},
            "handlers": {
                "console": {
                    "class": "logging.StreamHandler",
                    "filters": ["refused"],
                    "formatter": "json" if options.get("json") else "plain",
                    "stream": "ext://sys.stderr",
                }
            },
            "root": {"handlers": ["console"], "level": options.get("level", "INFO")},
            "loggers": {
                **{name: {"level": "WARNING"} for name in quiet},
                "django.request": {"level": "ERROR"},
            },
        }
    )
