"""``python -m examples.outage``, after Django is set up for the running system's settings."""

import os
import sys
from importlib import import_module

import django

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    django.setup()
    sys.exit(import_module("examples.outage.play").main())
