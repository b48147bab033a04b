"""One of several workers that deliver the same outbox at the same moment; prints how many it delivered.

Run as ``python -m tests.incidents.deliverer START URL`` with the settings of a migrated database.
"""

from __future__ import annotations

import os
import sys
import time
from importlib import import_module

import django


def main(start: float, url: str) -> int:
    """Wait for ``start`` (unix time), then deliver what is due."""
    notifications, timezone = import_module("incidents.notifications"), import_module("django.utils.timezone")
    time.sleep(max(0.0, start - time.time()))
    delivered: int = notifications.deliver(now=timezone.now(), urls=[url])
    return delivered


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    django.setup()
    sys.stdout.write(str(main(float(sys.argv[1]), sys.argv[2])))
