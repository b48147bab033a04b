"""The file: a zip of parts, each with its count and SHA-256 in a signed manifest. Knows no database."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

from portal.backup.seal import UnknownKey, sign, vouched

#: What this version writes, and the newest that it reads.
FORMAT = 1
PRODUCT = "bonghwa"
MANIFEST, SIGNATURE = "manifest.json", "signature.json"
#: Bytes of a manifest, and of one row, at most; a row of evidence takes some 7 MiB.
MANIFEST_MAX = 2**20
LINE_MAX = 64 * 2**20
#: The zip's own clock is not used: two backups of the same rows have the same parts.
_EPOCH = (1980, 1, 1, 0, 0, 0)


class Refused(Exception):
    """The file cannot be trusted, or was not made for this version; one line that says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One table: ``rows`` lines of JSON, ``size`` bytes together."""

    table: str
    rows: int
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """The part's name in the zip."""
        return _part_name(self.table)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What the file is. ``migrations`` are the newest of each app; ``audit`` is the audit's anchor."""

    made_at: str
    version: str
    database: str
    history: bool
    migrations: dict[str, list[str]]
    audit: dict[str, Any] | None
    parts: list[Part] = field(default_factory=list)
    format: int = FORMAT
    product: str = PRODUCT


class Writer:
    """Adds parts to a zip that is being written."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.parts: list[Part] = []

    def add(self, table: str, lines: Callable[[Callable[[str], None]], None]) -> Part:
        """Add the part of ``table``; ``lines`` is given what takes each line."""
        digest, rows, size = hashlib.sha256(), 0, 0
        with self._archive.open(_entry(_part_name(table)), "w", force_zip64=True) as target:

            def take(line: str) -> None:
                nonlocal rows, size
                content = line.encode("utf-8", "surrogatepass")
                digest.update(content)
                target.write(content)
                rows, size = rows + 1, size + len(content)

            lines(take)
        self.parts.append(Part(table=table, rows=rows, size=size, sha256=digest.hexdigest()))
        return self.parts[-1]

    def finish(self, manifest: Manifest) -> None:
        """Add the manifest and its signature."""
        content = json.dumps(asdict(manifest), ensure_ascii=False, indent=1).encode()
        self._archive.writestr(_entry(MANIFEST), content)
        self._archive.writestr(_entry(SIGNATURE), json.dumps(sign(content)))


@contextmanager
def writing(path: Path, *, before_naming: Callable[[Path], None]) -> Iterator[Writer]:
    """Write ``path.part``, mode 0600, and give it its name when all is on the disk; else remove it.

    ``before_naming`` is called with the whole file and may still refuse it by raising.

    Raises:
        Refused: ``path`` exists, or another backup is writing it.
        OSError: the file cannot be written.
    """
    if path.exists():
        raise Refused(f"{path} exists and is not overwritten; give another name.")
    making = path.with_name(path.name + ".part")
    descriptor = os.open(making, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Refused(f"Another backup is writing {making}; wait for it.") from error
        try:
            os.fchmod(descriptor, 0o600)
            file.truncate()  # what a killed one left
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                yield Writer(archive)
            file.flush()
            os.fsync(descriptor)
            before_naming(making)
            making.rename(path)
            _sync_folder(path.parent)
        except BaseException:
            making.unlink(missing_ok=True)
            raise


class Reader:
    """A file whose manifest is trusted; :meth:`lines` checks each part while it is read."""

    def __init__(self, archive: zipfile.ZipFile, manifest: Manifest) -> None:
        self._archive = archive
        self.manifest = manifest

    def verify(self) -> None:
        """Read every part to its end.

        Raises:
            Refused: a part is missing, unknown, cut or changed; it is named.
        """
        names = sorted(self._archive.namelist())
        wanted = sorted([MANIFEST, SIGNATURE, *(part.name for part in self.manifest.parts)])
        if missing := sorted(set(wanted) - set(names)):
            raise Refused(f"{missing[0]} is missing from the file: take another copy of it.")
        if names != wanted:
            other = next(name for name in names if name not in wanted or names.count(name) > 1)
            raise Refused(f"{other} is not one of the parts that the manifest lists: take another copy.")
        for part in self.manifest.parts:
            for _line in self.lines(part):
                pass

    def lines(self, part: Part) -> Iterator[str]:
        """Yield the lines of ``part``; what follows the last good one raises.

        Raises:
            Refused: it is cut or changed.
        """
        digest, rows, size = hashlib.sha256(), 0, 0
        try:
            with (
                self._archive.open(part.name) as member,
                io.BufferedReader(cast(io.RawIOBase, member), 2**20) as source,
            ):
                while size <= part.size and (line := source.readline(LINE_MAX)):
                    digest.update(line)
                    rows, size = rows + 1, size + len(line)
                    yield line.decode("utf-8", "surrogatepass")
        except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, UnicodeDecodeError) as error:
            raise Refused(f"{part.name} is damaged ({error}): take another copy of the file.") from error
        if (rows, size, digest.hexdigest()) != (part.rows, part.size, part.sha256):
            raise Refused(
                f"{part.name} is not what was written: {rows} rows, {size} bytes instead of "
                f"{part.rows} rows, {part.size} bytes, or its checksum differs. Take another copy."
            )


@contextmanager
def reading(path: Path, *, signed: bool = True) -> Iterator[Reader]:
    """Open the backup at ``path``; ``signed=False`` accepts a manifest that no key of ours vouches for.

    Raises:
        Refused: it is no backup, damaged, of a newer format, or not vouched for.
    """
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            yield Reader(archive, _manifest(archive, signed=signed))
    except zipfile.BadZipFile as error:
        raise Refused(
            f"{path} is no backup, or its end, with the table of contents, is missing: {error}."
        ) from error
    except OSError as error:
        raise Refused(f"{path} cannot be read: {error.strerror or error}.") from error


def _manifest(archive: zipfile.ZipFile, *, signed: bool) -> Manifest:
    content = _small(archive, MANIFEST)
    if signed:
        try:
            vouches = vouched(content, json.loads(_small(archive, SIGNATURE)))
        except UnknownKey as error:
            raise Refused(
                "The key that signed this file is not listed here. Put the AUDIT_KEY (or, without one, the "
                "SECRET_KEY) of the system that made it at the end of AUDIT_KEY: the audit needs it too. "
                "--no-signature trusts the checksums alone."
            ) from error
        except (ValueError, AttributeError) as error:
            raise Refused(f"{SIGNATURE} is damaged: take another copy of the file.") from error
        if not vouches:
            raise Refused(
                f"{MANIFEST} was changed: its signature is not right. Take another copy of the file."
            )
    try:
        given = json.loads(content)
        if given["product"] != PRODUCT:
            raise ValueError("of another product")
        if given["format"] > FORMAT:
            raise Refused(
                f"This file has format {given['format']}, made by version {given['version']}; this version "
                f"reads up to {FORMAT}. Restore it with that version, or a newer one."
            )
        return Manifest(**{**given, "parts": [Part(**part) for part in given["parts"]]})
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(f"{MANIFEST} is damaged ({error}): take another copy of the file.") from error


def _small(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        with archive.open(name) as source:
            content = source.read(MANIFEST_MAX + 1)
    except (KeyError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise Refused(
            f"{name} is missing or damaged: this is no backup, or take another copy of it."
        ) from error
    if len(content) > MANIFEST_MAX:
        raise Refused(f"{name} is larger than {MANIFEST_MAX} bytes: this is no backup.")
    return content


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o600 << 16
    return entry


def _part_name(table: str) -> str:
    return f"tables/{table}.jsonl"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
