"""Bounded reads of a log file that is written, rotated and truncated meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

from portal.monitoring.runtimes.base import MAX_LINE, LogWindow

#: Bytes looked at when a file is seen for the first time.
FIRST_BYTES = 64 * 1024


def read_log(path: Path, cursor: str, *, limit: int, max_bytes: int, now: float) -> LogWindow:
    """Return the whole lines after ``cursor``, following one rotation to ``path.1``.

    At most ``limit`` lines and ``max_bytes`` bytes are returned, the newest; the rest is skipped and the
    window is marked capped. An unfinished last line is left for the next read.

    Raises:
        OSError: the file cannot be read.
    """
    inode, offset, read_at = _decode(cursor)
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        old = b""
        if inode is None:
            start = max(0, status.st_size - FIRST_BYTES)
        elif status.st_ino != inode:
            start, old = 0, _rotated_rest(path, inode, offset, max_bytes)
        else:
            start = offset if offset <= status.st_size else 0
        skipped = max(0, status.st_size - start - max_bytes)
        file.seek(start + skipped)
        fresh = file.read(max_bytes)
    end = fresh.rfind(b"\n") + 1
    if not end and len(fresh) >= MAX_LINE * 4:
        end = len(fresh)
    lines = [line for line in (old + fresh[:end]).split(b"\n") if line]
    capped = skipped > 0 or len(lines) > limit or len(old) >= max_bytes
    return LogWindow(
        lines=[line[: MAX_LINE * 4].decode("utf-8", "replace")[:MAX_LINE] for line in lines[-limit:]],
        span_s=max(1.0, now - read_at) if read_at else None,
        cursor=f"{status.st_ino}|{start + skipped + end}|{now:.3f}",
        capped=capped,
    )


def _rotated_rest(path: Path, inode: int, offset: int, max_bytes: int) -> bytes:
    """Return what was written to the file after ``offset`` before it became ``path.1``."""
    try:
        with path.with_name(path.name + ".1").open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_ino != inode:
                return b""
            file.seek(max(offset, status.st_size - max_bytes))
            return file.read(max_bytes)
    except OSError:
        return b""


def _decode(cursor: str) -> tuple[int | None, int, float | None]:
    try:
        inode, offset, read_at = cursor.split("|")
        return int(inode), int(offset), float(read_at)
    except ValueError:
        return None, 0, None
