"""A log file that is written, rotated and truncated between reads."""

from __future__ import annotations

from pathlib import Path

from portal.monitoring.runtimes.base import LogWindow
from portal.monitoring.runtimes.logfile import read_log


def read(
    path: Path, cursor: str = "", now: float = 100.0, limit: int = 1000, size: int = 10_000
) -> LogWindow:
    return read_log(path, cursor, limit=limit, max_bytes=size, now=now)


def test_each_line_is_read_once_and_an_unfinished_one_waits(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    path.write_text("one\ntw")
    first = read(path)
    assert list(first.lines) == ["one"]
    with path.open("a") as file:
        file.write("o\nthree\n")
    second = read(path, first.cursor, now=105.0)
    assert list(second.lines) == ["two", "three"]
    assert second.span_s == 5.0
    assert not read(path, second.cursor).lines


def test_a_rotation_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    path.write_text("one\n")
    first = read(path)
    with path.open("a") as file:
        file.write("two\n")
    path.rename(tmp_path / "web.log.1")
    path.write_text("three\n")
    assert list(read(path, first.cursor).lines) == ["two", "three"]


def test_a_truncated_file_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    path.write_text("a long first line\n")
    first = read(path)
    path.write_text("new\n")
    assert list(read(path, first.cursor).lines) == ["new"]


def test_a_flood_is_bounded_and_its_rate_is_a_lower_bound(tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    path.write_text("start\n")
    first = read(path)
    with path.open("a") as file:
        file.write("flood\n" * 100_000)
    second = read(path, first.cursor, now=105.0, size=6_000)
    assert second.capped
    assert len(second.lines) <= 1000
    assert not read(path, second.cursor).lines
