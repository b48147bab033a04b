"""``make prove-faults`` in short: faults of real containers are told in time, once, on the right service."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.e2e.product import ROOT

#: Those that are over within a minute, amid two beats and killed workers; load must not fail the test.
SHORT = (
    *("--only", "paused,crash-loop,mute-websocket", "--crowd"),
    *("--hold", "0", "--probe-interval", "10", "--slack", "3"),
)


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_real_faults_are_told_once_on_the_right_service_and_resolve(docker_host: str) -> None:
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "tests.proof", "faults", *SHORT],
        cwd=ROOT,
        env=os.environ | {"DOCKER_HOST": docker_host},
        capture_output=True,
        text=True,
        timeout=840,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "Every line is ok." in done.stdout
