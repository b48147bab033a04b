"""One of several workers that deliver the same outbox at the same moment; prints how many it delivered.

Run as ``python -m tests.incidents.deliverer URL`` with the settings of a migrated database.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

import django

from tests.together import await_the_others


def main(url: str) -> int:
    """Wait for the word to go, then deliver what is due."""
    notifications, timezone = import_module("incidents.notifications"), import_module("django.utils.timezone")
    # The winner is held until the losers are done, however long a busy machine takes for that.
    notifications.SEND_S = 120.0  # type: ignore[attr-defined] # the module's own
    await_the_others()
    delivered: int = notifications.deliver(now=timezone.now(), urls=[url])
    return delivered


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    django.setup()
    sys.stdout.write(str(main(sys.argv[1])))
