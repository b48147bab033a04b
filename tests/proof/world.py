"""What every proof stands on: a Docker Engine, the product as ``make run`` starts it, a message channel."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import django
import docker
from docker.errors import DockerException, ImageNotFound, NotFound
from docker.models.containers import Container

from examples.outage import image
from tests.e2e.product import Product
from tests.engine import machines_engine, own_engine, rootfs
from tests.monitoring.certificates import Authority
from tests.receiver import Receiver, receiving
from tests.services import free_port

MARK = "bonghwa.proof"
PYTHON = "bonghwa-proof-python"
BUSYBOX = "bonghwa-proof-busybox"
#: What TLS and the WebSocket handshake need beyond the demonstration's image.
EXTENSIONS = (*image.EXTENSIONS, "_ssl", "_hashlib", "_sha1", "_sha256", "_blake2", "binascii", "zlib")
PROGRAM = (Path(__file__).parent / "program.py").read_text()
SECOND_NS = 1_000_000_000
#: Seconds of green after which the incidents of a proof's containers resolve.
RESOLVE_AFTER_S = 20
#: Time for ten processes to start on a busy machine.
START_S = 240.0
#: Time for all of them to stop in turn; a worker whose processes were killed takes all of its own.
STOP_S = 240.0


class Unplayable(RuntimeError):
    """The proof cannot be made here; the message says what is missing."""


@dataclass(slots=True)
class World:
    """A running product that watches ``engine``; everything made through it is removed at the end."""

    product: Product
    client: docker.DockerClient
    receiver: Receiver
    authority: Authority
    ports: dict[str, int] = field(default_factory=dict)

    def run(
        self,
        name: str,
        mode: str,
        *,
        probe: str = "",
        check_s: float = 0,
        patience_s: float = 10,
        **more: Any,
    ) -> Container:
        """Start the proof's program as a container; ``probe`` is the label of an endpoint on its port.

        ``check_s`` is the interval of its health check, 0 for none, and ``patience_s`` the check's timeout.
        The port stays when the name does.
        """
        port = self.ports.setdefault(name, free_port())
        schemes = {"http": "http", "ws": "ws", "tls": "tls"}
        if probe:
            more["labels"] = {f"bonghwa.{probe}": f"{schemes[probe]}://127.0.0.1:{port}"}
        if check_s:
            more["healthcheck"] = {
                "test": ["CMD", "/usr/bin/python3", "-S", "/app/health.py"],
                "interval": int(check_s * SECOND_NS),
                "timeout": int(patience_s * SECOND_NS),
                "retries": 3,
            }
        if probe or check_s:
            more["ports"] = {"5111/tcp": ("127.0.0.1", port)}
        command = ["/usr/bin/python3", "-S", "-c", PROGRAM, mode]
        return self._start(name, PYTHON, command, user="0:0", **more)

    def run_shell(
        self, name: str, script: str, *, check: str = "", check_s: float = 15, **more: Any
    ) -> Container:
        """Start a shell script as a container of busybox, with a health check if ``check`` is given."""
        if check:
            more["healthcheck"] = {
                "test": ["CMD-SHELL", check],
                "interval": int(check_s * SECOND_NS),
                "timeout": 10 * SECOND_NS,
                "retries": 3,
                **more.pop("healthcheck", {}),
            }
        return self._start(name, more.pop("image", BUSYBOX), ["sh", "-c", script], **more)

    def _start(self, name: str, image_name: str, command: list[str], **more: Any) -> Container:
        self.remove(name)
        labels = {MARK: "1", "bonghwa.resolve-after": str(RESOLVE_AFTER_S), **more.pop("labels", {})}
        return self.client.containers.run(image_name, command, name=name, labels=labels, detach=True, **more)

    def container(self, name: str) -> Container:
        """Return a container by name."""
        return self.client.containers.get(name)

    def remove(self, name: str) -> None:
        """Remove a container of a proof if it exists.

        Raises:
            Unplayable: one of that name is somebody else's.
        """
        try:
            found = self.client.containers.get(name)
        except NotFound:
            return
        if MARK not in found.labels:
            raise Unplayable(f"a container named {name} exists and is not a proof's; rename it")
        found.remove(force=True)

    def busybox(self, build: int) -> str:
        """Import the busybox image once more, as another build; return its tag."""
        tag = f"build-{build}"
        self.client.api.import_image_from_data(
            _busybox(), repository=BUSYBOX, tag=tag, changes=['CMD ["sh"]', f"LABEL build={build}"]
        )
        return f"{BUSYBOX}:{tag}"


@contextmanager
def a_world(*, engine: str = "", **env: str) -> Iterator[World]:
    """Start everything and set Django up for the product's own database; clean up whatever happens.

    ``engine`` is the address of an Engine that runs already.

    Raises:
        Unplayable: no Docker Engine answers and none can be started, or images cannot be made.
    """
    with (
        an_engine(engine) as host,
        tempfile.TemporaryDirectory(prefix="bw-proof-") as name,
        receiving() as receiver,
    ):
        authority = Authority(Path(name))
        client = docker.DockerClient(base_url=host, timeout=60)
        product = Product(
            Path(name) / "data",
            DOCKER_HOST=host,
            NOTIFY_URLS=receiver.channel,
            PROBE_CA_FILE=str(authority.file),
            **env,
        )
        try:
            make_images(client)
            print(f"Starting the product in {product.folder} on {host} …", flush=True)
            product.start(START_S)
            set_django_up(product)
            yield World(product, client, receiver, authority)
        finally:
            try:
                product.close(STOP_S)
            finally:
                clean(client)
                client.close()


def set_django_up(product: Product) -> None:
    """Let this process read the product's database.

    Its environment is as before afterwards: by ``DATA_DIR`` the product's own processes are told from others.
    """
    before = dict(os.environ)
    os.environ.update(product.env)
    os.environ["DJANGO_SETTINGS_MODULE"] = "portal.settings"
    try:
        django.setup()
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def an_engine(host: str = "") -> Iterator[str]:
    """Yield ``host``, the address of the machine's own Engine, or that of one started for the proof."""
    if found := host or machines_engine():
        yield found
        return
    if os.geteuid() != 0 or not shutil.which("dockerd"):
        raise Unplayable("no Docker Engine answers (DOCKER_HOST), and starting one needs dockerd and root")
    with own_engine() as own:
        yield own


def make_images(client: docker.DockerClient) -> None:
    """Import both images from this machine's Python and BusyBox; nothing is pulled."""
    image.build(client, repository=PYTHON, extensions=EXTENSIONS)
    client.api.import_image_from_data(
        _busybox(), repository=BUSYBOX, tag="latest", changes=['CMD ["sh"]', "LABEL build=0"]
    )


def _busybox() -> bytes:
    found = shutil.which("busybox")
    if found is None:
        raise Unplayable("busybox is missing (Debian package busybox-static)")
    return rootfs(Path(found))


def clean(client: docker.DockerClient) -> None:
    """Remove every container and image of a proof."""
    with suppress(DockerException, OSError):
        for container in client.containers.list(all=True, filters={"label": MARK}):
            with suppress(DockerException):
                container.remove(force=True)
        for found in (*client.images.list(PYTHON), *client.images.list(BUSYBOX)):
            with suppress(ImageNotFound, DockerException):
                client.images.remove(str(found.id), force=True)
