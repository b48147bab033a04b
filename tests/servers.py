"""Real nginx and PostgreSQL servers for the tests, each in a temporary folder and stopped by pid."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from tests.conditions import wait_until
from tests.databases import migrated_postgres
from tests.require import require
from tests.services import free_port, stop

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
SNIPPET = DEPLOY / "nginx" / "bonghwa.conf"
NGINX_MAIN = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/bonghwa.conf;
}}
"""


def listens(port: int, address: str = "127.0.0.1") -> bool:
    """Whether something accepts connections on ``port`` of ``address``."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((address, port)) == 0


@contextmanager
def proxy(upstream_port: int) -> Iterator[int]:
    """Run nginx with the deploy snippet in front of ``upstream_port``; yields nginx's port."""
    port = free_port()
    snippet = SNIPPET.read_text().replace("127.0.0.1:5111", f"127.0.0.1:{upstream_port}")
    with serving(snippet.replace("listen 80;", f"listen 127.0.0.1:{port};"), port):
        yield port


@contextmanager
def serving(
    snippet: str, port: int, prepare: Callable[[Path], None] = lambda _folder: None
) -> Iterator[Path]:
    """Run nginx with ``snippet`` in its http block until it is left; ``port`` is where it has to listen.

    Yields nginx's folder. It holds what the snippets of ``deploy/nginx`` include, as ``prepare`` leaves it;
    what they write to ``/var/cache`` goes there too.
    """
    with nginx_folder() as folder:
        prepare(folder)
        (folder / "bonghwa.conf").write_text(snippet.replace("/var/cache/", f"{folder}/"))
        (folder / "nginx.conf").write_text(NGINX_MAIN.format(folder=folder))
        with running_nginx(folder, port):
            yield folder


@contextmanager
def nginx_folder() -> Iterator[Path]:
    """Make a folder for a configuration, with the files that those of ``deploy/`` include."""
    folder = Path(tempfile.mkdtemp(prefix="bonghwa-nginx-"))
    folder.chmod(0o755)  # nginx's workers are nobody
    try:
        shutil.copytree(DEPLOY / "nginx" / "bonghwa", folder / "bonghwa")
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def nginx_command(folder: Path) -> list[str]:
    """Return the command line of nginx with ``nginx.conf`` of ``folder``."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    require(program, "nginx")
    assert program is not None
    return [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]


@contextmanager
def running_nginx(folder: Path, port: int, *options: str) -> Iterator[None]:
    """Run nginx with ``nginx.conf`` of ``folder``; ``port`` is where it has to listen.

    Raises:
        AssertionError: it does not; what it complained about is shown.
    """
    command = [*nginx_command(folder), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - the program that was found

    def listening() -> bool:
        assert process.poll() is None, (folder / "error.log").read_text()
        return listens(port)

    try:
        wait_until(listening, 10, "nginx accepts connections")
        yield
    finally:
        stop(process)


@pytest.fixture
def nginx() -> Iterator[Callable[[int], int]]:
    """Start nginx in front of a port of loopback; returns nginx's own port."""
    require(shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin"), "nginx")
    with ExitStack() as stack:
        yield lambda port: stack.enter_context(proxy(port))


def postgres_programs() -> Path | None:
    """Return the folder of the newest installed PostgreSQL server, or None; Debian keeps it out of PATH."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return folders[-1].parent if folders else None


@pytest.fixture(scope="session")
def postgres_port() -> Iterator[int]:
    """Port of a private PostgreSQL server."""
    with postgres_server() as port:
        yield port


@contextmanager
def postgres_server() -> Iterator[int]:
    """Run a private PostgreSQL server; yields its port. As root it runs as the user ``postgres``."""
    programs = postgres_programs()
    require(programs, "PostgreSQL server (Debian package postgresql)")
    assert programs is not None
    as_owner: Sequence[str] = ("runuser", "-u", "postgres", "--") if os.geteuid() == 0 else ()
    folder, port = Path(tempfile.mkdtemp(prefix="bonghwa-pg-")), free_port()
    if as_owner:
        shutil.chown(folder, "postgres")
    initdb = [
        *as_owner,
        str(programs / "initdb"),
        "-D",
        str(folder / "data"),
        "-U",
        "postgres",
        "-A",
        "trust",
    ]
    subprocess.run([*initdb, "--no-sync"], check=True, capture_output=True, cwd="/")  # noqa: S603 - Debian's own programs
    server = [
        *(*as_owner, str(programs / "postgres"), "-D", str(folder / "data"), "-p", str(port)),
        *("-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"),
        *("-c", "max_connections=300"),
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(server, stdout=log, stderr=log, cwd="/")  # noqa: S603 - Debian's own programs
    try:
        wait_until(lambda: _lets_in(port), 20, "PostgreSQL lets clients in")
        yield port
    finally:
        # SIGINT is a fast shutdown, which does not wait for clients that forgot to leave.
        os.kill(int((folder / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGINT)
        stop(process, timeout=10)
        shutil.rmtree(folder, ignore_errors=True)


def _lets_in(port: int) -> bool:
    """Whether the server has started: it listens before that, and turns clients away."""
    try:
        psycopg.connect(f"postgres://postgres@127.0.0.1:{port}/postgres", connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def new_database(port: int) -> str:
    """Create an empty database and return its ``DATABASE_URL``."""
    server, name = f"postgres://postgres@127.0.0.1:{port}", f"test_{uuid.uuid4().hex}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
    return f"{server}/{name}"


@pytest.fixture
def postgres_url(postgres_port: int) -> str:
    """``DATABASE_URL`` of a new, empty database."""
    return new_database(postgres_port)


@pytest.fixture
def another_migrated_postgres_url(postgres_port: int) -> Callable[[], str]:
    """Make a new database as the migrations leave it; returns its ``DATABASE_URL``."""
    programs = postgres_programs()
    assert programs is not None

    def make() -> str:
        url = new_database(postgres_port)
        migrated_postgres(url, programs)
        return url

    return make


@pytest.fixture
def migrated_postgres_url(another_migrated_postgres_url: Callable[[], str]) -> str:
    """``DATABASE_URL`` of a new database as the migrations leave it."""
    return another_migrated_postgres_url()
