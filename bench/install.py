"""Installs what is compared with: ``make bench ARGS=--install``. Debian and Ubuntu; needs root or sudo."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from bench.processes import BenchError
from bench.systems.base import is_root
from bench.systems.channels import VENV
from bench.systems.node import FOLDER

DEBIAN = ("gcc", "libc6-dev", "nginx-core", "libnginx-mod-nchan", "nats-server", "nodejs", "npm")
POLICY = "/usr/sbin/policy-rc.d"
#: Keeps the packages' services from being started: the benchmark starts what it needs.
_INSTALL = f"""
set -e
if [ ! -e {POLICY} ]; then
    printf '#!/bin/sh\\nexit 101\\n' > {POLICY}
    chmod 755 {POLICY}
    trap 'rm -f {POLICY}' EXIT
fi
apt-get -q update
DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$@"
"""


def install() -> None:
    """Install the Debian packages, npm's ws and the environment of Channels.

    Raises:
        BenchError: a step fails, or there is no apt-get.
    """
    if shutil.which("apt-get") is None:
        raise BenchError(f"--install knows Debian only. Install these by hand: {', '.join(DEBIAN)}")
    wanted = [name for name in DEBIAN if not _is_there(name)]
    if wanted:
        as_root = [] if is_root() else ["sudo", "-n"]
        _run("the Debian packages", [*as_root, "sh", "-c", _INSTALL, "install", *wanted])
    _run("npm's ws", ["npm", "ci", "--no-audit", "--no-fund", "--prefix", str(FOLDER)])
    _run("the environment of Channels", [sys.executable, "-m", "venv", str(VENV)])
    requirements = str(VENV.parent / "requirements.txt")
    _run("Channels", [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "-r", requirements])


def _is_there(package: str) -> bool:
    programs = {"gcc": "gcc", "nodejs": "node", "npm": "npm", "nats-server": "nats-server"}
    if package in programs:
        return shutil.which(programs[package], path=f"{os.environ['PATH']}:/usr/sbin") is not None
    told = subprocess.run(  # noqa: S603 - a fixed command
        ["dpkg-query", "-W", "-f", "${Status}", package],  # noqa: S607 - Debian's own
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return "install ok installed" in told.stdout


def _run(what: str, command: list[str]) -> None:
    print(f"Installing {what}", flush=True)
    if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode:  # noqa: S603 - the fixed commands above
        raise BenchError(f"{what}: `{' '.join(command[:6])} …` failed; see above.")
