"""A folder that holds what a deployment needs, prepared as its user would."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.deploy.place import laid_out


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Path]:
    """A prepared folder; the Docker socket is one that nobody listens on."""
    path = tmp_path / "docker.sock"
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))
        yield laid_out(tmp_path / "bonghwa", path)
