"""Faults of the product on one machine: its processes, its Redis, its disk, its clock, its upstream."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.faults.series import Fault
from tests.faults.site import Site
from tests.proof.world import Unplayable

#: File of DATA_DIR with the offset of the clock in seconds.
CLOCK = "clock"
PROGRAMS = ("web", "gateway", "worker-collect", "worker-ops", "beat", "valkey", "simulator")
#: A flapping upstream: seconds refused and seconds let in, in turn.
FLAP_S = 3.0
#: Bytes left free when the disk is full for whoever writes whole pages.
BLOCK = 64 * 1024


def kill(program: str) -> Fault:
    """SIGKILL a program and its children; the supervisor starts it again."""

    @contextmanager
    def play(site: Site) -> Iterator[None]:
        for process in site.tree(program):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        yield

    return Fault(f"kill {program}", play)


def pause(program: str, seconds: float) -> Fault:
    """SIGSTOP a program and its children, then SIGCONT."""

    @contextmanager
    def play(site: Site) -> Iterator[None]:
        with asleep(site.tree(program)):
            yield

    return Fault(f"pause {program}", play, seconds)


@contextmanager
def asleep(processes: Sequence[psutil.Process]) -> Iterator[None]:
    """SIGSTOP processes until the block ends."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def redis_restart(*, keeps: bool, seconds: float) -> Fault:
    """Stop Redis, remove what it had saved unless it ``keeps`` it, and start it."""

    @contextmanager
    def play(site: Site) -> Iterator[None]:
        site.product.supervise("stopProcess", "valkey")
        try:
            yield
        finally:
            if not keeps:
                for saved in (site.product.folder / "valkey").glob("*.rdb"):
                    saved.unlink()
            site.product.supervise("startProcess", "valkey")

    return Fault(f"restart Redis, data {'kept' if keeps else 'lost'}", play, seconds, promise=90.0)


def disk_full(seconds: float) -> Fault:
    """Write until the file system of DATA_DIR is full; remove that at the end."""

    @contextmanager
    def play(site: Site) -> Iterator[None]:
        filler = site.product.folder / "filler"
        try:
            fill(filler)
            yield
        finally:
            filler.unlink(missing_ok=True)

    return Fault("disk full", play, seconds, promise=90.0)


def fill(path: Path) -> None:
    """Grow a file until there is no room left."""
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    try:
        size = BLOCK
        while size:
            try:
                os.write(descriptor, b"\0" * size)
            except OSError:
                size //= 2
    finally:
        os.close(descriptor)


def clock_jump(name: str, offset: int, stays: float) -> Fault:
    """Move the clock of every process to ``offset`` seconds from the machine's."""

    @contextmanager
    def play(site: Site) -> Iterator[None]:
        set_clock(site.product.folder, offset)
        yield

    return Fault(name, play, stays, promise=120.0)


def set_clock(folder: Path, seconds: int) -> None:
    """Write the offset that the product's processes see from now on."""
    descriptor = os.open(folder / CLOCK, os.O_CREAT | os.O_WRONLY, 0o644)
    try:
        os.pwrite(descriptor, struct.pack("q", seconds), 0)
    finally:
        os.close(descriptor)


def clock_env(folder: Path) -> Mapping[str, str]:
    """Compile the library that moves the clock of a process; return the environment that loads it.

    Raises:
        Unplayable: there is no C compiler.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise Unplayable("moving a clock needs a C compiler: apt-get install gcc libc6-dev")
    library = folder / "clock.so"
    words = [
        compiler,
        "-O2",
        "-shared",
        "-fPIC",
        "-o",
        str(library),
        str(Path(__file__).with_name("clock.c")),
    ]
    subprocess.run(words, check=True)  # noqa: S603 - the compiler found above
    set_clock(folder, 0)
    return {"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(folder / CLOCK)}


def storm(fault: str, seconds: float) -> Fault:
    """Make the upstream misbehave; ``flap`` lets in and refuses in turn."""

    @contextmanager
    def play(site: Site) -> Iterator[None]:
        try:
            if fault == "flap":
                until = time.monotonic() + seconds
                while time.monotonic() < until:
                    for one in ("refuse", "none"):
                        site.switch(one)
                        time.sleep(FLAP_S)
            else:
                site.switch(fault)
            yield
        finally:
            site.switch("none")

    return Fault(f"upstream: {fault}", play, 0.0 if fault == "flap" else seconds, promise=90.0)
