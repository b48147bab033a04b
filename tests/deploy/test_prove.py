"""The judging parts of ``make prove-fleet``; the command itself takes a machine of its own."""

from __future__ import annotations

import pytest

from tests.deploy.prove import sizes
from tests.deploy.prove.crowd import counted, told
from tests.deploy.prove.table import Line, show
from tests.deploy.prove.visitor import times

KEPT = Line("replicas", "clients lost", "0", "0", True)
BROKEN = Line("replicas", "clients lost", "3", "0", False)
FIGURE = Line("rest", "redis", "9 MiB")


@pytest.mark.parametrize(
    ("lines", "good"),
    [([KEPT, FIGURE], True), ([KEPT, BROKEN], False), ([FIGURE], False), ([], False)],
)
def test_it_holds_when_something_was_promised_and_all_of_it_was_kept(lines, good, capsys) -> None:
    assert show(lines) is good
    said = capsys.readouterr().out
    assert all(line.seen in said for line in lines)
    assert ("Every line is ok." in said) is good


def test_the_99th_percentile_is_not_hidden_by_many_quick_answers() -> None:
    seen = times([0.01] * 95 + [0.5] * 5)
    assert (seen.count, seen.p50, seen.longest) == (100, 10.0, 500.0)
    assert seen.p99 == pytest.approx(500.0)


def test_connections_are_counted_for_each_replica_that_runs() -> None:
    metrics = (
        "# TYPE bonghwa_feed_connections gauge\n"
        'bonghwa_feed_connections{process="0a1b2c3d4e5f:1:abc"} 1.204e+03\n'
        'bonghwa_feed_connections{process="ffffffffffff:1:abc"} 7.0\n'
        'bonghwa_feed_topics{process="0a1b2c3d4e5f:1:abc"} 4.0\n'
    )
    counts = counted(metrics, {"0a1b2c3d4e5f": "web_1", "1a1b2c3d4e5f": "web_2", "2a1b2c3d4e5f": "redis_1"})
    assert counts == {"web_1": 1204, "web_2": 0}
    assert told(counts) == "web_1 1204, web_2 0"


def test_history_is_sized_for_the_intervals_that_nobody_changed() -> None:
    rows = {table: kept for table, (_what, kept) in sizes.KEPT.items()}
    assert rows["monitoring_observation"] == 48 * 3600 // 5
    # A probe each 45 to 57 s: the default minute, less the jitter.
    assert 48 * 3600 / 57 < rows["monitoring_proberesult"] < 48 * 3600 / 45
