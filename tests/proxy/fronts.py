"""Real nginx servers with the configurations that ``deploy/`` ships, in front of a port of loopback."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.require import require
from tests.servers import DEPLOY, nginx_folder, running_nginx, serving
from tests.services import free_port

SNIPPET = DEPLOY / "nginx" / "bonghwa.conf"
TLS_SNIPPET = DEPLOY / "nginx" / "bonghwa-tls.conf"
COMPOSE = DEPLOY / "compose"
#: Changes a configuration's text, to break it.
Edit = Callable[[str], str]


@dataclass(frozen=True)
class Front:
    """A running nginx: its folder, and where it listens; ``tls`` is 0 when it has none."""

    folder: Path
    plain: int
    tls: int = 0

    @property
    def url(self) -> str:
        """Where people go."""
        return f"https://127.0.0.1:{self.tls}" if self.tls else f"http://127.0.0.1:{self.plain}"

    @property
    def ws(self) -> str:
        """The feed behind it."""
        return f"{self.url.replace('http', 'ws', 1)}/ws"


def as_it_is(text: str) -> str:
    """Change nothing."""
    return text


def break_shared(folder: Path, edit: Edit) -> None:
    """Apply ``edit`` to the files that all configurations include."""
    for path in (folder / "bonghwa").iterdir():
        path.write_text(edit(path.read_text()))


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    """Replace each first by each second; each has to be there."""
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


@contextmanager
def bare(web: int, edit: Edit = as_it_is) -> Iterator[Front]:
    """Run ``deploy/nginx/bonghwa.conf``."""
    port = free_port()
    text = replaced(
        SNIPPET.read_text(),
        ("127.0.0.1:5111", f"127.0.0.1:{web}"),
        ("listen 80;", f"listen 127.0.0.1:{port};"),
    )
    with in_http_block(text, port, edit) as folder:
        yield Front(folder, port)


@contextmanager
def bare_tls(web: int, certificate: Path, edit: Edit = as_it_is) -> Iterator[Front]:
    """Run ``deploy/nginx/bonghwa-tls.conf`` with a certificate and key in one file."""
    plain, tls = free_port(), free_port()
    text = replaced(
        re.sub(r"^ *listen \[::\].*\n", "", TLS_SNIPPET.read_text(), flags=re.M),
        ("server 127.0.0.1:5111", f"server 127.0.0.1:{web}"),
        ("listen 80;", f"listen 127.0.0.1:{plain};"),
        ("listen 443 ", f"listen 127.0.0.1:{tls} "),
        ("/etc/letsencrypt/live/bonghwa.example/fullchain.pem", str(certificate)),
        ("/etc/letsencrypt/live/bonghwa.example/privkey.pem", str(certificate)),
    )
    with in_http_block(text, tls, edit) as folder:
        yield Front(folder, plain, tls)


@contextmanager
def in_http_block(text: str, port: int, edit: Edit) -> Iterator[Path]:
    """Run nginx with ``text`` in its http block; ``edit`` also applies to what it includes."""
    with serving(edit(text), port, lambda folder: break_shared(folder, edit)) as folder:
        yield folder


@contextmanager
def compose(web: int, certificate: Path | None = None, edit: Edit = as_it_is) -> Iterator[Front]:
    """Run nginx of compose.yaml outside a container, with TLS when there is a certificate.

    What is a container's own is replaced: its ports, ``/tmp``, and the name that Docker's DNS knows.
    """
    plain, tls = free_port(), free_port() if certificate else 0
    site = "site-tls.conf" if certificate else "site.conf"
    with nginx_folder() as folder:
        pairs = [
            ("set $bonghwa_web web:5111", f"set $bonghwa_web 127.0.0.1:{web}"),
            ("listen 8080;", f"listen 127.0.0.1:{plain};"),
        ]
        if certificate:
            (folder / "tls").mkdir()
            for name in ("fullchain.pem", "privkey.pem"):
                shutil.copy(certificate, folder / "tls" / name)
            pairs += [("listen 8443 ", f"listen 127.0.0.1:{tls} "), ("/etc/bonghwa/", f"{folder}/")]
        main = (COMPOSE / "nginx.conf").read_text()
        (folder / "nginx.conf").write_text(edit(replaced(main, ("/tmp/", f"{folder}/"))))
        (folder / "site.conf").write_text(edit(replaced((COMPOSE / site).read_text(), *pairs)))
        break_shared(folder, edit)
        with running_nginx(folder, tls or plain, "-g", "daemon off;"):
            yield Front(folder, plain, tls)


def curl(trusted: Path, url: str, *options: str) -> tuple[str, str]:
    """Return HTTP's version and the head of the answer; ``trusted`` is a file of certificates."""
    require(shutil.which("curl"), "curl")
    command = ["curl", "-sS", "--cacert", str(trusted), "-o", "/dev/null", "-D", "-"]
    done = subprocess.run(  # noqa: S603 - a fixed program
        [*command, "-w", "version=%{http_version}", *options, url], check=True, capture_output=True, text=True
    )
    head, _, version = done.stdout.rpartition("version=")
    return version, head
