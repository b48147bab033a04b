"""The memory limit: found in both versions of cgroups, and what crosses it."""

from __future__ import annotations

import logging

import psutil
import pytest

from gateway.memory import MemoryGuard, cgroup_limit

NONE = 2**63 - 4096  # what version 1 says for "no limit"


def write(folder, name, value):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"{value}\n")


@pytest.mark.parametrize(
    ("lines", "files", "limit"),
    [
        ("0::/app\n", {"app/memory.max": 1000}, 1000),
        ("0::/slice/app\n", {"slice/app/memory.max": "max", "slice/memory.max": 2000}, 2000),
        ("0::/slice/app\n", {"slice/app/memory.max": 3000, "slice/memory.max": 2000}, 2000),
        ("0::/app\n", {"app/memory.max": "max"}, None),
        ("0::/\n", {"memory.max": 1000}, 1000),
        ("4:memory:/app\n0::/\n", {"memory/app/memory.limit_in_bytes": 1000}, 1000),
        ("4:cpu,memory:/of/the/host\n", {"memory/memory.limit_in_bytes": 1000}, 1000),
        ("4:memory:/app\n", {"memory/app/memory.limit_in_bytes": NONE}, None),
        ("1:cpu:/app\n", {"cpu/app/memory.limit_in_bytes": 1000}, None),
        ("1:cpu:/app\n", {}, None),
    ],
)
def test_the_lowest_limit_of_the_cgroup_and_those_above_counts(tmp_path, lines, files, limit):
    write(tmp_path, "cgroup", lines.strip())
    for name, value in files.items():
        path = tmp_path / "root" / name
        write(path.parent, path.name, value)
    assert cgroup_limit(tmp_path / "cgroup", tmp_path / "root") == limit


def test_without_cgroups_there_is_no_limit(tmp_path):
    assert cgroup_limit(tmp_path / "none", tmp_path / "none") is None


def test_memory_is_short_above_the_ratio_and_each_change_is_logged_once(caplog):
    caplog.set_level(logging.WARNING)
    used = psutil.Process().memory_info().rss
    guard = MemoryGuard(used * 2, 0.85)
    assert not guard.short
    ballast = b"x" * used
    guard.look()
    guard.look()
    assert guard.short
    del ballast
    guard.look()
    assert not guard.short
    assert len(caplog.messages) == 2


def test_without_a_limit_memory_is_never_short():
    assert not MemoryGuard(None, 0.85).short
