"""One of several processes that press restart at once: ``python -m tests.operations.presser NAME``."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from importlib import import_module

import django

from tests.together import await_the_others


def main(name: str) -> str:
    """Wait for the word to go, press, and return ``done`` or what was told."""
    acting = import_module("portal.operations.acting")
    user = import_module("django.contrib.auth.models").User.objects.get(username=name)
    service = import_module("portal.monitoring.models").Service.objects.get()
    await_the_others()
    try:
        acting.request(service=service, verb="restart", reason="slow", actor=user, at=datetime.now(UTC))
    except acting.ActionRefused as refusal:
        return str(refusal)
    return "done"


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    django.setup()
    sys.stdout.write(main(sys.argv[1]))
