"""Images for a deployment, made on this machine: a base of Debian's packages, and Bonghwa's on top of it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from tests.deploy.place import ROOT
from tests.require import require

#: Root file systems are kept here from run to run; they take a minute to make.
CACHE = Path("/var/cache/bonghwa-tests")
BASE, IMAGE = "bonghwa-debian:test", "bonghwa:test"


def root_filesystem() -> Path:
    """Return the tar of deploy/compose/base-image.sh as it is now, made unless an earlier run left it.

    Raises:
        subprocess.CalledProcessError: it cannot be made.
    """
    require(shutil.which("mmdebstrap"), "mmdebstrap")
    script = ROOT / "deploy" / "compose" / "base-image.sh"
    key = hashlib.sha256(script.read_bytes()).hexdigest()[:16]
    made, making = CACHE / f"base-{key}.tar", CACHE / f"base-{key}.making"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            for old in CACHE.glob("base-*"):
                old.unlink()
            # In memory: dpkg waits for the disk after each package.
            memory = {"TMPDIR": "/dev/shm"} if Path("/dev/shm").is_dir() else {}
            subprocess.run([str(script), str(making)], env=os.environ | memory, check=True)  # noqa: S603 - our own script
            making.rename(made)
    return made


def make_images(docker_host: str) -> None:
    """Import the base and build Bonghwa's image on it, as a user without a registry does.

    Raises:
        subprocess.CalledProcessError: a step failed.
    """
    environment = os.environ | {"DOCKER_HOST": docker_host}
    steps = (
        ["docker", "import", str(root_filesystem()), BASE],
        ["make", "image", f"BASE={BASE}", f"IMAGE={IMAGE}"],
    )
    for step in steps:
        subprocess.run(step, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - fixed programs
