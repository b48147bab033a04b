"""``make bench-proxy``: what nginx, configured as compose.yaml ships it, costs for each end user and frame.

nginx has one worker process on one core; both ends of every connection are on the other (``bench.relay``).
It tells, plain and with TLS, what a user costs who connects, who is idle, and who gets frames of one row.
Only nginx' own processor time counts, loopback's network work included, and its own memory, without the
kernel's for sockets. Prints medians with the lowest and the highest run; there is no target.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.frames import Frame, Opcode

from bench import machine
from bench.payload import row
from bench.processes import BenchError, Meter, cpu_seconds, free_port, rss, running
from bench.relay import Relay
from bench.systems.base import ROOT, only_child
from bench.systems.nchan import nginx_program
from gateway.feed_frames import real

DEPLOY = ROOT / "deploy"
CASES = {"plain": False, "TLS": True}
CLIENTS, RUNS, SECONDS, PER_SECOND = 2000, 5, 10.0, 10.0
#: What a worker process takes as shipped, two connections for each user.
MOST_CLIENTS = 4000
UNITS = {
    "connect_us": "µs of a core for a user who connects",
    "idle_us": "µs of a core for an idle user, each second",
    "frame_us": "µs of a core for a frame",
    "idle_kib": "KiB for an idle user",
    "used_kib": "KiB for a user after frames",
    "wire": "bytes of a frame, TLS's included",
    "foreign": "cores that other processes used",
}
#: One row as the web process sends it.
FRAME = Frame(Opcode.TEXT, real([row("005930")]).payload).serialize(mask=False)


@dataclass(frozen=True, slots=True)
class Reading:
    """What nginx' worker process has used so far: processor time (s) and resident memory (bytes)."""

    cpu_s: float
    memory: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One run; :data:`UNITS` says in what."""

    connect_us: float
    idle_us: float
    frame_us: float
    idle_kib: float
    used_kib: float
    wire: float
    foreign: float = 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print. Returns 0, or 2 when it cannot run."""
    options = _options(arguments)
    try:
        network = machine.enter_network_namespace("bench.proxy")
        machine.raise_file_limit()
        found = {
            name: [measure(tls, options.clients, options.rate, options.seconds) for _ in range(options.runs)]
            for name, tls in CASES.items()
        }
        print(f"{machine.describe()}; {network}; {_version()}")
        print(f"{options.clients} users, {options.rate:g} frames/s to each; median of {options.runs} (range)")
        show(found)
    except BenchError as error:
        print(f"bench-proxy: {error}", file=sys.stderr)
        return 2
    return 0


def measure(tls: bool, clients: int, per_second: float, seconds: float) -> Cost:
    """Run nginx anew and measure it once; users are idle for as long as they get frames.

    Raises:
        BenchError: nginx is not installed, does not start, or loses something.
    """
    server, load = machine.cores()
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {load})
    context = ssl._create_unverified_context() if tls else None  # noqa: S323 - the certificate was made above
    try:
        with (
            socket.create_server(("127.0.0.1", 0), backlog=128) as listener,
            nginx(listener.getsockname()[1], tls, server) as (port, pid),
        ):
            meter, start = Meter(), _read(pid)
            with Relay(port, listener, clients, context) as relay:
                connected = _read(pid)
                time.sleep(seconds)
                idle = _read(pid)
                wire = relay.settle(FRAME)
                before = _read(pid)
                frames = relay.rounds(FRAME, per_second, seconds)
                after = _read(pid)
            readings = (start, connected, idle, before, after)
            return replace(cost(readings, clients, seconds, frames, wire), foreign=meter.foreign())
    finally:
        os.sched_setaffinity(0, mine)


def cost(readings: Sequence[Reading], clients: int, idle_s: float, frames: int, wire: int) -> Cost:
    """Return what each user and frame cost, from the readings at the start, with all connected, after
    ``idle_s`` seconds, before the frames, and after them.
    """
    start, connected, idle, before, after = readings
    return Cost(
        connect_us=1e6 * (connected.cpu_s - start.cpu_s) / clients,
        idle_us=1e6 * (idle.cpu_s - connected.cpu_s) / clients / idle_s,
        frame_us=1e6 * (after.cpu_s - before.cpu_s) / frames,
        idle_kib=(idle.memory - start.memory) / 1024 / clients,
        used_kib=(after.memory - start.memory) / 1024 / clients,
        wire=float(wire),
    )


@contextmanager
def nginx(web: int, tls: bool, core: int) -> Iterator[tuple[int, int]]:
    """Run nginx of compose.yaml in front of port ``web``; yields its own port and its worker's pid."""
    program = nginx_program()
    if not program:
        raise BenchError("nginx is not installed (Debian package nginx)")
    plain, secure = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="bonghwa-proxy-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx' worker is another user
        shutil.copytree(DEPLOY / "nginx" / "bonghwa", folder / "bonghwa")
        if tls:
            _certificate(folder / "tls")
        for file, text in configuration(tls, folder, web, plain, secure).items():
            (folder / file).write_text(text)
        port = secure if tls else plain
        command = [program, "-p", name, "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
        command += ["-g", "daemon off;"]
        with running(command, core=core, log=folder / "nginx.log", port=port) as master:
            yield port, only_child(master.pid)


def configuration(tls: bool, folder: Path, web: int, plain: int, secure: int) -> Mapping[str, str]:
    """Return the files of ``deploy/compose`` with one worker process, and with what is a container's own
    (ports, ``/tmp``, the name that Docker's DNS knows) replaced.
    """
    site = (DEPLOY / "compose" / ("site-tls.conf" if tls else "site.conf")).read_text()
    pairs = [
        ("set $bonghwa_web web:5111;", f"set $bonghwa_web 127.0.0.1:{web};"),
        ("listen 8080;", f"listen 127.0.0.1:{plain};"),
    ]
    if tls:
        pairs += [("listen 8443 ", f"listen 127.0.0.1:{secure} "), ("/etc/bonghwa/", f"{folder}/")]
    main_pairs = [("/tmp/", f"{folder}/"), ("worker_processes 2;", "worker_processes 1;")]  # noqa: S108 - nginx's
    return {
        "nginx.conf": _replaced((DEPLOY / "compose" / "nginx.conf").read_text(), main_pairs),
        "site.conf": _replaced(site, pairs),
    }


def _replaced(text: str, pairs: Sequence[tuple[str, str]]) -> str:
    for old, new in pairs:
        if old not in text:
            raise BenchError(f"deploy/compose has changed: no {old!r}")
        text = text.replace(old, new)
    return text


def _certificate(folder: Path) -> None:
    """Make a self-signed certificate of the kind that Let's Encrypt gives by default: ECDSA, P-256."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    folder.mkdir()
    pem = serialization.Encoding.PEM
    (folder / "fullchain.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "privkey.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _read(pid: int) -> Reading:
    return Reading(cpu_seconds(pid), rss([pid]))


def summary(values: Sequence[float]) -> str:
    """Return the median, and the lowest and the highest value."""
    median, low, high = statistics.median(values), min(values), max(values)
    return f"{median:.1f}" if low == high else f"{median:.1f} ({low:.1f} to {high:.1f})"


def show(found: Mapping[str, Sequence[Cost]]) -> None:
    """Print a line for each kind of cost and a column for each case."""
    print("  ".join(f"{name:>24}" for name in found))
    for field in fields(Cost):
        cells = [summary([getattr(one, field.name) for one in runs]) for runs in found.values()]
        print("  ".join(f"{cell:>24}" for cell in cells) + f"  {UNITS[field.name]}")


def _version() -> str:
    told = subprocess.run([nginx_program(), "-V"], capture_output=True, text=True, check=False).stderr  # noqa: S603 - found above
    found = re.search(r"version: (\S+)", told), re.search(r".*with (OpenSSL \S+)", told)
    return ", ".join(one[1] for one in found if one)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-proxy ARGS=…", description=__doc__)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of idleness, and of frames")
    parser.add_argument("--rate", type=float, default=PER_SECOND, help="frames a second to each user")
    options = parser.parse_args(arguments)
    if (
        not 1 <= options.clients <= MOST_CLIENTS
        or options.runs < 1
        or min(options.seconds, options.rate) <= 0
    ):
        parser.error(f"--clients from 1 to {MOST_CLIENTS:,}, --runs from 1, --seconds and --rate above 0")
    return options


if __name__ == "__main__":
    sys.exit(main())
