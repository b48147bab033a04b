"""Test processes on one machine do not hand out the same numbers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.claims import EPHEMERAL, Ports, claimed
from tests.services import free_port

ROOT = Path(__file__).resolve().parent.parent
ANOTHER = """
import sys
from tests.claims import claimed
with claimed(sys.argv[1], range(3)) as number:
    print(number, flush=True)
    input()
"""


def test_another_process_has_another_number_until_it_ends() -> None:
    kind = f"number-{os.getpid()}"
    with claimed(kind, range(3)) as ours:
        with subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-c", ANOTHER, kind],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            theirs = int(process.stdout.readline())
            with claimed(kind, range(3)) as third:
                assert {ours, theirs, third} == {0, 1, 2}
                with pytest.raises(RuntimeError, match="is held"), claimed(kind, range(3)):
                    pass
            process.kill()
        with claimed(kind, range(3)) as again:
            assert again == theirs


def test_ports_of_two_processes_never_meet() -> None:
    ports = Ports()
    try:
        theirs = {ports.free() for _ in range(300)}
    finally:
        ports.close()

    assert theirs.isdisjoint({free_port() for _ in range(300)})
    assert max(theirs) < int(EPHEMERAL.read_text().split()[0])


def test_a_port_in_use_is_passed_over() -> None:
    ports = Ports()
    try:
        first = ports.free()
        with socket.create_server(("127.0.0.1", first + 1)):
            assert ports.free() == first + 2
    finally:
        ports.close()
