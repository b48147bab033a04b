from dataclasses import replace

from bench.report import render
from bench.targets import judge
from tests.bench.samples import GOOD, capacity


def text_of(results):
    """Return the report of results."""
    return render(results, judge(results, nchan="nginx + nchan"), ["A machine."])


def test_the_report_shows_every_measurement_and_every_target():
    text = text_of(GOOD)

    assert text.startswith("A machine.\n")
    for part in ("| Bonghwa ", "4,000,000", "1.0 / 5.0 / 6.0", "Skipped: Node, ws: node is not installed."):
        assert part in text
    assert text.count("| ok ") == 13
    assert "29.3 KiB each when idle" in text
    assert "the gateway process uses 12.0 µs a row" in text


def test_a_missed_target_stands_out():
    assert "| MISSED " in text_of(replace(GOOD, own=[capacity(delivered=10)]))


def test_a_generator_at_its_limit_is_told():
    own = capacity()
    own = replace(own, saturated=replace(own.saturated, own_cpu=1.99))

    assert "(the limit)" in text_of(replace(GOOD, own=[own]))


def test_the_columns_of_a_table_line_up():
    lines = [line for line in text_of(GOOD).splitlines() if line.startswith("|")]

    assert len({len(line) for line in lines[:6]}) == 1
