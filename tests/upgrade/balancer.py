"""The deploy snippet of nginx for several web processes of this machine."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tests.servers import SNIPPET


def balancing(port: int, webs: Sequence[int]) -> str:
    """Return what lets nginx listen on ``port`` for web processes on ``webs``.

    Each has a line as the snippet's only one.
    """
    snippet, found = re.subn(
        r"( *server 127\.0\.0\.1:)5111(.*;)",
        lambda line: "\n".join(f"{line[1]}{web}{line[2]}" for web in webs),
        SNIPPET.read_text(),
    )
    assert found == 1
    return snippet.replace("listen 80;", f"listen 127.0.0.1:{port} backlog=4096;")


__all__ = ["balancing"]
