"""The machine under the benchmark: its description, its two cores, and a network of its own."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import subprocess
import sys
from pathlib import Path

from bench.processes import BenchError

#: Set in the process that runs inside a network namespace.
INSIDE = "BONGHWA_BENCH_NETWORK"
#: Open files that the server and the generator need each.
FILES = 12_000


def cores() -> tuple[int, int]:
    """Return the core for the server and the one for everything else.

    Raises:
        BenchError: there is only one.
    """
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise BenchError("The benchmark needs two cores: one for the server, one for everything else.")
    return usable[-1], usable[0]


def raise_file_limit() -> None:
    """Allow this process and its children enough open files.

    Raises:
        BenchError: the hard limit is too low.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES:
        raise BenchError(f"The clients need {FILES} open files, the limit is {hard}: raise `ulimit -Hn`.")
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))


def enter_network_namespace(module: str = "bench") -> str:
    """Start ``python -m module`` again in a network namespace of its own, if that is possible.

    It does not return then: packet filters, as Docker installs them, slow the host's loopback. The namespace
    ends with its last process. Returns the network that this process is in.
    """
    if told := os.environ.get(INSIDE):
        return told
    unshare, ip, shell = shutil.which("unshare"), shutil.which("ip"), shutil.which("sh")
    if unshare is None or ip is None or shell is None:
        return "loopback of the host (no unshare or ip)"
    options = ["--net"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--net"]
    up = [unshare, *options, ip, "link", "set", "lo", "up"]
    if subprocess.run(up, capture_output=True, check=False).returncode:  # noqa: S603 - programs found above
        return "loopback of the host (no network namespace)"
    os.environ[INSIDE] = "loopback of its own network namespace"
    command = 'ip link set lo up && exec "$@"'
    words = [unshare, *options, shell, "-c", command, "bench", sys.executable, "-m", module, *sys.argv[1:]]
    os.execv(unshare, words)  # noqa: S606 - the program found above


def describe() -> str:
    """Return processor, cores, memory, kernel and Python in one line."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}"
    )
