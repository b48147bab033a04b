"""The tree keeps to the sizes that it promises."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("bench", "examples", "gateway", "incidents", "portal", "tests")
#: Folders whose modules are others', or as long as what they change.
SKIPPED = {".venv", "migrations", "node_modules"}
#: Lines of a module at most.
LINES_MAX = 400


def test_no_module_is_longer_than_a_person_reads_at_once() -> None:
    modules = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    assert len(modules) > 100, "looked in the wrong place"
    lengths = {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8").count("\n")
        for path in modules
        if SKIPPED.isdisjoint(path.parts)
    }
    assert {name: lines for name, lines in lengths.items() if lines > LINES_MAX} == {}
