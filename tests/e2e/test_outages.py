"""``make prove-outages`` in short: a database that goes away for seconds loses and doubles nothing.

Redis goes away in ``tests/faults/test_short.py``, a channel in ``tests/incidents/test_delivery_worker.py``.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.e2e.product import ROOT
from tests.require import require
from tests.servers import postgres_programs

#: The Engine of the machine is not ours to take away, so that it needs root and stays with the command.
SHORT = ("--only", "database", "--seconds", "20", "--slack", "3")


@pytest.mark.docker
@pytest.mark.postgres
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_database_goes_away_and_nothing_is_lost_or_doubled(docker_host: str) -> None:
    require(postgres_programs(), "PostgreSQL server (Debian package postgresql)")
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "tests.proof", "outages", *SHORT],
        cwd=ROOT,
        env=os.environ | {"DOCKER_HOST": docker_host},
        capture_output=True,
        text=True,
        timeout=840,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "Every line is ok." in done.stdout
