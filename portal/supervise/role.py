"""``python -m portal.supervise.role``: become the one process that ``ROLE`` names; what a container runs.

The commands are those of ``make run``. The interpreter is replaced, so signals reach the process itself.
"""

from __future__ import annotations

import os
import resource
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from portal.supervise import plan

#: Role of a container that does not say.
DEFAULT = "web"
#: Open files that a process may have, if the Engine allows as many: an end user is one.
FILES = 65_536


class UnknownRole(ValueError):
    """``ROLE`` names no process; the message lists those that there are."""


def commands(environment: Mapping[str, str]) -> dict[str, Sequence[str]]:
    """Return the command line of each role.

    The gateway brings a simulator along, which serves nothing unless ``KIWOOM_MODE`` is ``simulator``.
    """
    base = Path(__file__).resolve().parents[2]
    setup = plan.Setup(
        base=base,
        data=Path(environment.get("DATA_DIR") or base / "var"),
        python=sys.executable,
        bind=environment.get("BIND") or "0.0.0.0",  # noqa: S104 - a container's own network
        port=int(environment.get("PORT") or 5111),
        host=socket.gethostname(),
        simulator=False,
    )
    found: dict[str, Sequence[str]] = {one.name: one.command for one in plan.programs(setup)}
    found["gateway"] = (*found["gateway"], "--simulator")
    return found | {"setup": (sys.executable, "manage.py", "setup")}


def command(environment: Mapping[str, str]) -> Sequence[str]:
    """Return the command line of the role that ``environment`` names.

    Raises:
        UnknownRole: there is no such role.
    """
    known = commands(environment)
    role = environment.get("ROLE") or DEFAULT
    if role not in known:
        raise UnknownRole(f"ROLE={role!r} must be one of {', '.join(sorted(known))}.")
    return known[role]


def allow_files() -> None:
    """Raise the limit of open files to ``FILES``, or as far as it may be: Engines start with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main() -> None:
    """Become the role's process, or end with one line."""
    try:
        words = command(os.environ)
    except ValueError as error:
        sys.exit(f"bonghwa: {error}")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    os.umask(0o077)
    allow_files()
    os.execv(words[0], list(words))  # noqa: S606 - this interpreter, arguments of the plan


if __name__ == "__main__":
    main()
