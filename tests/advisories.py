"""``make audit``: are the pinned packages free of known vulnerabilities?

Asks PyPI's advisories through pip-audit. Where only a package index is reached, ``ADVISORIES=FOLDER`` reads a
checkout of https://github.com/pypa/advisory-database instead, and says how old it is. What could not be asked
is said and never counts as clean.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
FILES = ("requirements.txt", "requirements-dev.txt")
#: Exit codes: nothing is known against the pins; something is; nobody could be asked.
CLEAN, VULNERABLE, UNKNOWN = 0, 1, 2
#: Seconds that one file may take.
TIMEOUT = 300
_PIN = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;]+)")


@dataclass(frozen=True, slots=True)
class Hit:
    """One advisory that is about a pinned version."""

    package: str
    version: str
    advisory: str


def pins(text: str) -> dict[str, str]:
    """Return name and version of each line of a requirements file.

    Raises:
        ValueError: a line pins no exact version.
    """
    found: dict[str, str] = {}
    for line in text.splitlines():
        stated = line.partition("#")[0].strip()
        if not stated:
            continue
        pin = _PIN.match(stated)
        if pin is None:
            raise ValueError(f"not pinned to one version: {stated}")
        found[canonicalize_name(pin[1])] = pin[2]
    return found


def concerns(advisory: Mapping[str, Any], version: str) -> bool:
    """Whether an advisory in OSV's form is about ``version`` of its package."""
    if advisory.get("withdrawn"):
        return False
    for affected in advisory.get("affected", ()):
        if version in affected.get("versions", ()):
            return True
        for span in affected.get("ranges", ()):
            if span.get("type") == "ECOSYSTEM" and _inside(span["events"], Version(version)):
                return True
    return False


def _inside(events: list[dict[str, str]], version: Version) -> bool:
    inside = False
    for event in events:
        (kind, value), *_more = event.items()
        if kind == "introduced":
            inside = inside or value == "0" or version >= Version(value)
        elif kind == "fixed":
            inside = inside and version < Version(value)
        elif kind == "last_affected":
            inside = inside and version <= Version(value)
    return inside


def offline(folder: Path, pinned: Mapping[str, str]) -> Iterator[Hit]:
    """Yield what the checkout in ``folder`` knows against ``pinned``."""
    for name, version in sorted(pinned.items()):
        for path in sorted((folder / "vulns" / name).glob("*.yaml")):
            advisory = yaml.safe_load(path.read_text())
            if concerns(advisory, version):
                yield Hit(name, version, str(advisory["id"]))


def newest(folder: Path) -> datetime:
    """Return when the newest advisory of the checkout was changed."""
    stamp = re.compile(r"^modified: [\"']?([0-9T:.-]+)", re.MULTILINE)
    found = (stamp.search(path.read_text()) for path in folder.glob("vulns/*/*.yaml"))
    return max(datetime.fromisoformat(one[1][:19]).replace(tzinfo=UTC) for one in found if one)


def ask_online() -> int:
    """Let pip-audit ask PyPI about every file; a package that PyPI does not tell about is no clean one."""
    worst = CLEAN
    for name in FILES:
        words = ["--requirement", name, "--no-deps", "--disable-pip", "--strict", "--progress-spinner", "off"]
        done = subprocess.run(  # noqa: S603 - a tool of this environment
            [sys.executable, "-m", "pip_audit", *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        print(done.stdout, end="")
        if done.returncode and "vulnerabilit" in done.stderr:
            worst = VULNERABLE
        elif done.returncode and worst == CLEAN:
            print((done.stderr.strip().splitlines() or ["pip-audit failed"])[-1])
            worst = UNKNOWN
    return worst


def ask_checkout(folder: Path) -> int:
    """Compare the pins with a checkout of the advisory database."""
    pinned = {name: one for file in FILES for name, one in pins((ROOT / file).read_text()).items()}
    if not (folder / "vulns").is_dir():
        print(f"audit: {folder} is no checkout of pypa/advisory-database: it has no folder vulns")
        return UNKNOWN
    hits = list(offline(folder, pinned))
    for hit in hits:
        print(f"{hit.package} {hit.version}: {hit.advisory}")
    age = newest(folder).date()
    print(f"audit: {len(pinned)} pins, {len(hits)} advisories about them; the database ends at {age}")
    return VULNERABLE if hits else CLEAN


def main(arguments: list[str]) -> int:
    """Audit, say what came of it, and return the exit code."""
    try:
        code = ask_checkout(Path(arguments[0])) if arguments else ask_online()
    except (OSError, subprocess.TimeoutExpired) as error:
        print(error)
        code = UNKNOWN
    if code == UNKNOWN:
        print("audit: NOT DONE: nobody could be asked; run `make audit` where PyPI's advisories are reached,")
        print("audit: or `make audit ADVISORIES=FOLDER` with a checkout of pypa/advisory-database")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
