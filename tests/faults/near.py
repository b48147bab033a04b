"""Faults of the product on one machine: its processes, its Redis, its disk, its clock, its upstream."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.faults.series import Fault
from tests.faults.site import Site

#: Where Debian's package libfaketime puts the library.
LIBFAKETIME = Path("/usr/lib") / f"{os.uname().machine}-linux-gnu" / "faketime" / "libfaketime.so.1"
PROGRAMS = ("web", "gateway", "worker-collect", "worker-ops", "beat", "valkey")
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
    """Write the offset that the product's processes see."""
    whole = folder / "clock.new"
    whole.write_text(f"{seconds:+d}\n")
    whole.replace(folder / "clock")


def faketime_env(folder: Path, library: Path) -> Mapping[str, str]:
    """Return the environment of processes whose clock can be moved."""
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(folder / "clock"),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_RESET": "1",
    }


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
