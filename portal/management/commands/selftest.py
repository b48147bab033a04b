"""``manage.py selftest``: prove that a fault becomes a delivered message, and say in how many seconds."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from portal.monitoring import selftest
from portal.monitoring.models import SelfTest, SelfTestState

#: Seconds beyond the test's own limit that the command waits.
GRACE_S = 30.0


class Command(BaseCommand):
    """Injects a synthetic fault and waits for its message; workers must be running."""

    help = "Inject a synthetic fault and measure the seconds to the delivered message."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add ``--json``."""
        parser.add_argument("--json", action="store_true", help="one JSON object on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run it.

        Raises:
            CommandError: it failed, was too slow, or another one is running.
        """
        _log_to_standard_error()
        try:
            test = selftest.start(now=timezone.now())
        except selftest.AlreadyRunning as error:
            raise CommandError(str(error)) from error
        test = _wait(test)
        result = {
            "state": test.state,
            "incident_after_s": test.incident_after_s,
            "delivered_after_s": test.delivered_after_s,
            "detail": test.detail,
        }
        self.stdout.write(json.dumps(result, ensure_ascii=False) if options["json"] else _line(test))
        if test.state != SelfTestState.PASSED:
            raise CommandError(test.detail or str(test.get_state_display()))


def _log_to_standard_error() -> None:
    """Standard output is the result's alone."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stdout:
            handler.setStream(sys.stderr)


def _wait(test: SelfTest) -> SelfTest:
    deadline = time.monotonic() + selftest.GIVE_UP.total_seconds() + GRACE_S
    while time.monotonic() < deadline:
        selftest.settle(timezone.now())
        test.refresh_from_db()
        if test.state != SelfTestState.RUNNING:
            break
        time.sleep(0.5)
    return test


def _line(test: SelfTest) -> str:
    def seconds(value: float | None) -> str:
        return "-" if value is None else f"{value:.1f} s"

    return (
        f"{test.get_state_display()}: incident after {seconds(test.incident_after_s)}, "
        f"message delivered after {seconds(test.delivered_after_s)} (limit {selftest.LIMIT_S:g} s)"
    )
