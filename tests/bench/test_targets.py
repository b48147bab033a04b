from dataclasses import replace

import pytest

from bench.targets import failed, judge
from tests.bench.samples import GOOD, IDLE, LARGE, SAMPLE, SMALL, STOPPED, capacity

NCHAN = "nginx + nchan"


def missed(results):
    """Return the targets that were missed."""
    return [verdict.what for verdict in judge(results, nchan=NCHAN) if verdict.met is False]


def test_good_results_meet_every_target():
    verdicts = judge(GOOD, nchan=NCHAN)

    assert not failed(verdicts)
    assert len(verdicts) == 4 + 4 + 2 + 3
    assert all(verdict.met for verdict in verdicts)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"own": [capacity(delivered=5_999_999)]}, "200 × 1: at least 3,000,000 rows per CPU-second"),
        ({"own": [capacity(p99=10.1)]}, "200 × 1: p99 at half load at most 10 ms"),
        ({"own": [capacity(workload=LARGE, p99=30.1)]}, "1,000 × 20: p99 at half load at most 30 ms"),
        ({"own": [capacity(lost=1)]}, "200 × 1: every row arrives once, nobody is disconnected"),
        ({"own": [capacity(dead=1)]}, "200 × 1: every row arrives once, nobody is disconnected"),
        (
            {"others": [capacity(NCHAN, SMALL, delivered=1_600_001)]},
            "200 × 1: at least 5 times nginx + nchan",
        ),
        ({"idle": replace(IDLE, connection_bytes=32_769.0)}, "5,000 idle: at most 32 KiB each"),
        (
            {"idle": replace(IDLE, spread=replace(SAMPLE, p99=60.1))},
            "5,000 at 10 rows/s each: p99 at most 60 ms",
        ),
        (
            {"stopped": [replace(STOPPED, during=replace(SAMPLE, p99=6.1))]},
            "200 × 1, 10 stop reading: the others' p99 within 20 %",
        ),
        (
            {"stopped": [replace(STOPPED, growth=30_000_001)]},
            "200 × 1, 10 stop reading: memory grows by at most 29 MiB",
        ),
        ({"stopped": [replace(STOPPED, closed=9)]}, "200 × 1, 10 stop reading: each is closed with 4408"),
    ],
)
def test_each_target_is_missed_by_itself(changes, what):
    assert missed(replace(GOOD, **changes)) == [what]


def test_what_was_not_measured_is_neither_met_nor_missed():
    verdicts = judge(replace(GOOD, others=[]), nchan=NCHAN)

    assert [verdict.seen for verdict in verdicts if verdict.met is None] == ["nchan not measured"] * 2
    assert not failed(verdicts)


def test_every_sample_is_found():
    assert len(list(GOOD.samples())) == 2 * 4 + 1 + 1 + 2
