"""The example's image, packed from this machine's own Python: nothing is pulled, nothing is built in it."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import docker

IMAGE = "bonghwa-example-outage"
HERE = Path(__file__).resolve().parent
VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
#: Parts of the standard library that a small server never loads.
LEFT_OUT = {
    *("config", "dist-packages", "distutils", "ensurepip", "idlelib", "lib-dynload", "lib2to3"),
    *("pydoc_data", "site-packages", "sqlite3", "test", "tkinter", "turtledemo", "unittest", "xml"),
}
#: C extensions that asyncio's server and socket need where they are not built into the interpreter.
EXTENSIONS: tuple[str, ...] = (
    *("_asyncio", "_bisect", "_contextvars", "_datetime", "_heapq", "_json", "_opcode", "_posixsubprocess"),
    *("_queue", "_random", "_sha1", "_socket", "_struct", "array", "binascii", "errno", "fcntl", "math"),
    *("select", "unicodedata"),
)


def build(
    client: docker.DockerClient,
    *,
    repository: str = IMAGE,
    extensions: Sequence[str] = EXTENSIONS,
    labels: Mapping[str, str] | None = None,
) -> str:
    """Import the image into the Engine of ``client`` and return its id. Takes a few seconds.

    Other ``labels`` make another image of the same files.
    """
    changes = [
        "ENV PYTHONHOME=/usr PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1",
        "USER 65534:65534",
        "EXPOSE 5111",
        'CMD ["/usr/bin/python3", "-S", "/app/gateway.py"]',
        *(f"LABEL {name}={value}" for name, value in (labels or {}).items()),
    ]
    client.api.import_image_from_data(
        rootfs(extensions), repository=repository, tag="latest", changes=changes
    )
    return str(client.images.get(f"{repository}:latest").id)


def rootfs(extensions: Sequence[str] = EXTENSIONS) -> bytes:
    """Return a tar of the interpreter, its standard library, the shared libraries and the program.

    An extension that is named twice is packed once: the Engine takes no path twice.
    """
    interpreter = Path(sys.executable).resolve()
    stdlib = Path(sysconfig.get_path("stdlib"))
    found = [
        path
        for name in dict.fromkeys(extensions)
        for path in (stdlib / "lib-dynload").glob(f"{name}.*.so")
        if path.is_file()
    ]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", dereference=True) as archive:
        archive.add(interpreter, "usr/bin/python3")
        for library in shared_libraries([interpreter, *found]):
            archive.add(library, str(library).lstrip("/"))
        for path in found:
            archive.add(path, f"usr/lib/{VERSION}/lib-dynload/{path.name}")
        for path in sorted(stdlib.iterdir()):
            if path.name.split("-")[0] not in LEFT_OUT and path.name not in LEFT_OUT:
                archive.add(path, f"usr/lib/{VERSION}/{path.name}", filter=_without_tests)
        for name in ("gateway.py", "health.py"):
            archive.add(HERE / name, f"app/{name}")
    return buffer.getvalue()


def _without_tests(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    entry.uid = entry.gid = 0
    unwanted = entry.name.endswith((".opt-1.pyc", ".opt-2.pyc", "/test", "/tests"))
    return None if unwanted else entry


def shared_libraries(files: list[Path]) -> list[Path]:
    """Return the shared libraries, the loader among them, that ``files`` need, by ``ldd``."""
    output = subprocess.run(["ldd", *map(str, files)], capture_output=True, text=True, check=True).stdout  # noqa: S603, S607 - the C library's own tool on this interpreter's files
    found = re.findall(r"(/\S+\.so\S*)(?: \(0x[0-9a-f]+\))", output)
    return [Path(name) for name in sorted(set(found))]
