"""The judge of ``make soak`` finds what grows, and lets breathe what does not; a real leak is among it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from tests.proof import leaks
from tests.proof.footprint import ERROR
from tests.proof.leaks import MIB, Footprint, Sample

EVERY_S, MINUTES = 10, 30


def soaked(rss=lambda at: 100.0, fds=lambda at: 40, keys=lambda at: 300, threads=lambda at: 8):
    """Return half an hour of looks at one process; memory in MiB."""
    return [
        Sample(at, {"web": Footprint(int(rss(at) * MIB), fds(at), threads(at))}, {"keys": keys(at)})
        for at in range(0, MINUTES * 60, EVERY_S)
    ]


def growing(samples, warm_up=600):
    return [line.name for line in leaks.judge(samples, warm_up) if not line.ok]


def test_what_stays_does_not_grow_and_its_slope_is_zero():
    lines = leaks.judge(soaked(), 600)

    assert all(line.ok for line in lines)
    assert {line.name for line in lines} == {"web: MiB", "web: descriptors", "web: threads", "keys"}
    assert lines[0].slope == 0.0


@pytest.mark.parametrize(
    ("leak", "named"),
    [
        ({"rss": lambda at: 100 + at / 60}, "web: MiB"),
        ({"fds": lambda at: 40 + at // 60}, "web: descriptors"),
        ({"threads": lambda at: 8 + at // 120}, "web: threads"),
        ({"keys": lambda at: 300 + at // 30}, "keys"),
    ],
    ids=["a MiB a minute", "a descriptor a minute", "a thread each two minutes", "two keys a minute"],
)
def test_what_leaks_slowly_is_named_and_nothing_else(leak, named):
    assert growing(soaked(**leak)) == [named]


def test_a_slope_is_told_in_mebibytes_an_hour():
    (line, *_) = leaks.judge(soaked(rss=lambda at: 100 + at / 60), 600)

    assert line.slope == pytest.approx(60, rel=0.01)
    assert line.first == pytest.approx(110.3, abs=0.1)
    assert line.highest == pytest.approx(129.8, abs=0.1)


def test_growth_within_the_warm_up_does_not_count():
    assert growing(soaked(rss=lambda at: 100 + min(at, 600) / 10, fds=lambda at: min(at, 600))) == []


def test_what_breathes_does_not_grow():
    assert growing(soaked(rss=lambda at: 100 + at % 60 / 10, fds=lambda at: 40 + at // 10 % 7)) == []


def test_a_child_that_comes_late_to_its_tasks_does_not_grow_and_one_that_leaks_does():
    early, late = (
        Footprint(170 * MIB, 20, 1),
        [Footprint((150 + at // 90) * MIB, 20, 1) for at in range(0, 1800, 10)],
    )
    samples = [
        Sample(at, {"worker/1": early, "worker/2": one}, {})
        for at, one in zip(range(0, 1800, 10), late, strict=True)
    ]
    leaking = [
        Sample(
            one.at,
            {
                name: Footprint(own.rss + 25 * MIB * (name == "worker/2"), 20, 1)
                for name, own in one.processes.items()
            },
            {},
        )
        for one in samples
    ]

    assert growing(samples) == []
    assert growing(leaking) == ["worker/*: MiB"]


def test_a_count_at_rest_has_to_come_back():
    before = Sample(0, {"web": Footprint(1, 40, 8)}, {"clients": 0, "tasks": 12})
    after = Sample(1, {"web": Footprint(9 * MIB, 1040, 8)}, {"clients": 0, "tasks": 512})

    names = [line.name for line in leaks.at_rest([before], [after]) if not line.ok]

    assert names == ["tasks, at rest", "web: descriptors, at rest"]


def test_what_a_task_holds_for_a_moment_is_no_leak():
    idle, sweeping = Footprint(1, 23, 1), Footprint(1, 54, 19)
    looks = [Sample(at, {"worker": sweeping if at % 3 else idle}, {}) for at in range(12)]

    assert all(line.ok for line in leaks.at_rest(looks[:1], looks[1:]))
    assert all(line.ok for line in leaks.judge(looks, 0))


def test_too_short_a_soak_is_refused():
    with pytest.raises(ValueError, match="soak for longer"):
        leaks.judge(soaked()[:3], 600)


def test_the_table_names_what_grows():
    text = leaks.table(leaks.judge(soaked(rss=lambda at: 100 + at / 60), 600))

    assert "| web: MiB | 110.3 | 129.5 | 129.8 | +60.0 | GROWS |" in text
    assert "| keys | 300.0 | 300.0 | 300.0 |  | ok |" in text


#: Opens a file and keeps 100 KiB for each line that it is sent, if it is told to leak.
KEEPER = """
import sys
kept = []
for line in sys.stdin:
    if sys.argv[1] == "leak":
        kept += [open("/dev/null"), bytearray(b"x") * 100_000]
    print(flush=True)
"""


@contextmanager
def keeper(word: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-c", KEEPER, word], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        yield process
        process.kill()


@pytest.mark.parametrize(("word", "found"), [("leak", ["web: MiB", "web: descriptors"]), ("keep", [])])
def test_a_process_that_leaks_is_found(word, found):
    samples = []
    with keeper(word) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        measured = psutil.Process(process.pid)
        for _turn in range(100):
            process.stdin.write("\n")
            process.stdin.flush()
            process.stdout.readline()
            footprint = Footprint(measured.memory_info().rss, measured.num_fds(), measured.num_threads())
            samples.append(Sample(time.monotonic(), {"web": footprint}, {}))

    assert growing(samples, samples[20].at) == found


@pytest.mark.parametrize(
    "line",
    [
        "2026-02-06 09:15:00+0900 ERROR   django.request: Internal Server Error: /",
        "[2026-02-06 09:15:00: CRITICAL/MainProcess] Unrecoverable error",
        '{"at": "2026-02-06T00:15:00", "level": "ERROR", "message": "x"}',
        "Traceback (most recent call last):",
    ],
)
def test_lines_that_are_errors_are_seen(line):
    assert ERROR.search(line)


def test_lines_that_only_speak_of_errors_are_none():
    assert not ERROR.search("2026-02-06 09:15:00+0900 WARNING gateway: 12 attempts, last error: timeout")
