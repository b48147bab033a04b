"""Each thing that stops the start is told in one line."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from portal.supervise import preflight
from tests.conditions import wait_until
from tests.services import free_port

NOBODY = 65534


@pytest.fixture
def said() -> list[str]:
    return []


def test_a_taken_port_is_told_with_the_pid_and_the_variable(tmp_path: Path, said: list[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(preflight.Unready) as told:
            preflight.ports({"PORT": ("127.0.0.1", port)}, tmp_path, said.append)

    text = str(told.value)
    assert text.startswith(f"PORT: port {port} of 127.0.0.1 is taken by pid {os.getpid()} (")
    assert "\n" not in text


def test_a_free_port_passes(tmp_path: Path, said: list[str]) -> None:
    preflight.ports({"PORT": ("127.0.0.1", free_port())}, tmp_path, said.append)

    assert said == []


def test_an_address_of_another_machine_is_told(tmp_path: Path, said: list[str]) -> None:
    with pytest.raises(preflight.Unready, match=r"BIND: port 80 of 192\.0\.2\.1 cannot be used"):
        preflight.ports({"BIND": ("192.0.2.1", 80)}, tmp_path, said.append)


def test_a_process_of_a_killed_run_gets_time_to_end(tmp_path: Path, said: list[str]) -> None:
    port = free_port()
    code = (
        "import socket,sys;s=socket.socket();s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1);"
        f"s.bind(('127.0.0.1',{port}));s.listen();sys.stdin.readline()"
    )
    environment = os.environ | {"BONGHWA_RUN": str(tmp_path)}
    orphan = subprocess.Popen(  # noqa: S603 - this interpreter with our own text
        [sys.executable, "-c", code], stdin=subprocess.PIPE, env=environment
    )
    try:
        wait_until(lambda: preflight.listener(port), what="the orphan listens")

        def say(text: str) -> None:
            said.append(text)
            orphan.communicate(b"end\n")

        preflight.ports({"PORT": ("127.0.0.1", port)}, tmp_path, say)
    finally:
        orphan.kill()
        orphan.wait()
    assert said == [f"waiting for a process of the last run to end (pid {orphan.pid})"]


@contextmanager
def unprivileged() -> Iterator[None]:
    """Act as somebody who may not write everywhere; root becomes ``nobody`` meanwhile."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_an_unwritable_folder_is_told() -> None:
    with tempfile.TemporaryDirectory(prefix="bonghwa-preflight-") as name:
        folder = Path(name)
        folder.chmod(0o555)

        with (
            unprivileged(),
            pytest.raises(
                preflight.Unready, match=r"data cannot be written \(Permission denied\); set DATA_DIR"
            ),
        ):
            preflight.folders(folder / "data")

        folder.chmod(0o777)
        with unprivileged():
            preflight.folders(folder / "data")


def test_a_file_in_the_folders_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "logs").touch()

    with pytest.raises(preflight.Unready, match=r"logs cannot be written \(File exists\); set DATA_DIR"):
        preflight.folders(tmp_path)


def test_a_path_too_long_for_a_socket_is_told(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)

    with pytest.raises(preflight.Unready, match="too long for a Unix socket"):
        preflight.folders(deep)


def test_a_second_run_on_the_same_data_is_told_who_has_it(tmp_path: Path) -> None:
    held = preflight.lock(tmp_path)
    try:
        with pytest.raises(preflight.Unready, match=rf"runs already in .*\(pid {os.getpid()}\)"):
            preflight.lock(tmp_path)
    finally:
        os.close(held)

    os.close(preflight.lock(tmp_path))


def test_what_a_killed_supervisord_left_is_cleared(tmp_path: Path) -> None:
    for name in ("supervisor.sock", "supervisor.sock.123", "supervisord.pid"):
        (tmp_path / name).touch()

    preflight.clear_leftovers(tmp_path)

    assert list(tmp_path.iterdir()) == []
