"""Work that goes on in a thread while a proof does something else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def meanwhile(run: Callable[[], None], done: threading.Event, name: str) -> Iterator[None]:
    """Run ``run`` in a thread until the block ends; ``done`` is set then, and ``run`` has to return soon."""
    thread = threading.Thread(target=run, name=name)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
