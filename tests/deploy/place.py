"""Lays a deployment out in a folder of its own, so that a test leaves no secret in the work tree."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def laid_out(folder: Path, docker_socket: Path, **lines: str) -> Path:
    """Copy what compose.yaml needs to ``folder`` and run prepare.sh there; ``lines`` go to ``.env`` first."""
    folder.mkdir()
    shutil.copy(ROOT / "compose.yaml", folder)
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    prepare(folder, docker_socket)
    return folder


def prepare(folder: Path, docker_socket: Path, **variables: str) -> None:
    """Run prepare.sh, with ``variables`` in its environment.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    subprocess.run(  # noqa: S603 - our own script
        [str(folder / "deploy" / "compose" / "prepare.sh")],
        env={"PATH": os.environ["PATH"], "DOCKER_SOCKET": str(docker_socket), **variables},
        check=True,
        capture_output=True,
    )
