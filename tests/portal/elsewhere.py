"""Another database as the default one of this process, for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib.contenttypes.models import ContentType
from django.db import connections

from portal.database import of_url


@contextmanager
def connected(url: str) -> Iterator[None]:
    """Let Django's default connection lead to ``url``; without a pool, which is one for each process."""
    kept, kept_settings = connections["default"], connections.settings["default"]
    given = connections.configure_settings({"default": of_url(url, pool=0)})
    connections.settings["default"] = given["default"]
    connections["default"] = connections.create_connection("default")
    ContentType.objects.clear_cache()
    try:
        yield
    finally:
        connections["default"].close()
        connections.settings["default"] = kept_settings
        connections["default"] = kept
        ContentType.objects.clear_cache()
