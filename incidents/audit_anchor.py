"""What the audit remembers outside the database: number and code of the newest entry, in a small file.

A database that was cut at its end, or replaced by an older copy of itself, agrees with itself; only
something outside of it can tell. The file moves forward alone: it stays where it is once the entry that it
names is no longer there.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from django.conf import settings

from incidents.models import AuditEntry

logger = logging.getLogger(__name__)

PRUNED = "audit.prune"


@dataclass(frozen=True, slots=True)
class Anchor:
    """Number and code of an entry that was committed."""

    seq: int
    mac: str


class AnchorDamaged(Exception):
    """The file is not one that Bonghwa wrote."""


def path() -> Path:
    """Return where the file is."""
    return Path(settings.DATA_DIR) / "audit-anchor.json"


def read() -> Anchor | None:
    """Return the anchor, None without a file.

    Raises:
        AnchorDamaged: the file cannot be read or understood.
    """
    try:
        given = json.loads(path().read_text())
        return Anchor(seq=int(given["seq"]), mac=str(given["mac"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AnchorDamaged(f"{path()}: {error}") from error


def advance(newest: Anchor) -> bool:
    """Move the anchor to ``newest``, unless what it names is missing from the database.

    This causes up to two SQL queries. A file that cannot be written is logged: the deed is recorded.
    """
    try:
        with _locked():
            old = read()
            if old is not None and old.seq >= newest.seq:
                return old == newest
            if old is not None and not holds(old):
                logger.error("audit entry %s is not the one that was anchored; run verify_audit", old.seq)
                return False
            write(newest)
    except (OSError, AnchorDamaged) as error:
        logger.error("audit anchor cannot be moved: %s", error)
        return False
    return True


def holds(anchor: Anchor) -> bool:
    """Whether the database still has the anchored entry, or pruned it by its age."""
    found = AuditEntry.objects.filter(seq=anchor.seq).values_list("mac", flat=True).first()
    if found is not None:
        return found == anchor.mac
    return checkpoint() is not None and anchor.seq <= (checkpoint() or anchor).seq


def checkpoint() -> Anchor | None:
    """Return the last entry that was pruned by its age; its claim is signed like every entry."""
    found = AuditEntry.objects.filter(action=PRUNED).order_by("-seq").first()
    try:
        after = (found.after if found else None) or {}
        return Anchor(seq=int(after["seq"]), mac=str(after["mac"]))
    except (KeyError, ValueError, TypeError):
        return None


def write(anchor: Anchor) -> None:
    """Put the file there at once or not at all."""
    new = path().with_suffix(f".{os.getpid()}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(_private(new, os.O_WRONLY | os.O_EXCL), "w") as file:
        file.write(json.dumps(asdict(anchor)))
    new.replace(path())


def _private(name: Path, flags: int) -> int:
    """Open for the owner alone, and no link: whoever shares DATA_DIR must not choose what is written over."""
    return os.open(name, flags | os.O_CREAT | os.O_NOFOLLOW, 0o600)


@contextmanager
def _locked() -> Iterator[None]:
    with os.fdopen(_private(path().with_suffix(".lock"), os.O_WRONLY), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
