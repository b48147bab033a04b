"""One of several processes that write the audit at once: ``python -m tests.incidents.auditor COUNT``."""

from __future__ import annotations

import os
import sys
from importlib import import_module

import django

from tests.together import await_the_others


def main(count: int) -> None:
    """Wait for the word to go and record ``count`` deeds."""
    audit = import_module("incidents.audit")
    await_the_others()
    for number in range(count):
        audit.record(action="race.write", actor=None, target=f"{os.getpid()} {number}")


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    django.setup()
    main(int(sys.argv[1]))
