"""What nginx costs for each user and frame: the arithmetic, and a short run against the real one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.proxy import FRAME, Cost, Reading, configuration, cost, measure, show, summary
from bench.systems.nchan import nginx_program
from tests.require import require

USERS, FRAMES = 100, 5_000


def test_each_phase_is_divided_by_what_it_was_for() -> None:
    readings = (
        Reading(1.00, 10 * 2**20),  # before anybody is there
        Reading(1.02, 12 * 2**20),  # all have connected
        Reading(1.03, 12 * 2**20),  # they were idle
        Reading(1.50, 13 * 2**20),  # the first frame has gone round
        Reading(1.55, 14 * 2**20),  # the frames that count have
    )
    found = cost(readings, USERS, 10.0, FRAMES, 600)
    assert found.connect_us == pytest.approx(200)
    assert found.idle_us == pytest.approx(10)
    assert found.frame_us == pytest.approx(10)
    assert found.idle_kib == pytest.approx(20.48)
    assert found.used_kib == pytest.approx(40.96)
    assert found.wire == 600


def test_runs_are_told_by_their_median_and_range(capsys) -> None:
    assert summary([3.0, 1.0, 2.0]) == "2.0 (1.0 to 3.0)"
    assert summary([2.0, 2.0]) == "2.0"
    one = Cost(connect_us=1.0, idle_us=2.0, frame_us=3.0, idle_kib=4.0, used_kib=5.0, wire=6.0, foreign=7.0)
    show({"plain": [one], "TLS": [one]})
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in said[1:]] == [[f"{n}.0", f"{n}.0"] for n in range(1, 8)]


@pytest.mark.parametrize("tls", [False, True])
def test_what_is_measured_is_what_is_shipped_but_for_a_container_s_own(tls) -> None:
    files = configuration(tls, Path("/folder"), 1, 2, 3)
    text = "".join(files.values())
    assert not any(left in text for left in ("/tmp/", "web:5111", "listen 8080", "worker_processes 2"))
    assert "include bonghwa/locations.conf;" in files["site.conf"]
    assert ("ssl_certificate /folder/tls/fullchain.pem;" in text) is tls
    assert "worker_processes 1;" in files["nginx.conf"]


@pytest.mark.parametrize(("tls", "extra"), [(False, 0), (True, 22)])
def test_every_frame_passes_the_shipped_nginx(tls, extra) -> None:
    require(nginx_program(), "nginx")
    require(len(os.sched_getaffinity(0)) > 1, "two cores")
    found = measure(tls, 5, 50.0, 0.2)
    # TLS 1.3 adds the head of a record, its kind and its tag.
    assert found.wire == len(FRAME) + extra
    assert found.frame_us >= 0
