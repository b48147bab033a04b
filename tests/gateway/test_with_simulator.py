"""``run_gateway --simulator``: a gateway that brings its own Kiwoom, as containers run it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway import keys
from tests.conditions import wait_until
from tests.gateway.upstream_world import manage
from tests.services import free_port


def environment(**more: str) -> dict[str, str]:
    port = free_port()
    return {
        "KIWOOM_MODE": "simulator",
        "KIWOOM_REST_URL": f"http://127.0.0.1:{port}",
        "KIWOOM_WS_URL": f"ws://127.0.0.1:{port}",
        "REDIS_URL": os.environ["REDIS_URL"],
        "GATEWAY_START_JITTER": "0",
        **more,
    }


def test_it_logs_in_to_the_simulator_of_its_own_process(redis_client, tmp_path: Path) -> None:
    status = keys.STATUS.format(slot="key-1")
    with manage(tmp_path, "run_gateway", "--simulator", **environment()):
        assert wait_until(
            lambda: b'"session":"LIVE"' in (redis_client.get(status) or b""), 40, "the session is live"
        )


@pytest.mark.parametrize("mode", ["mock", "real"])
def test_other_modes_start_no_simulator_and_without_keys_no_gateway(
    redis_client, tmp_path: Path, mode: str
) -> None:
    more = {"KIWOOM_MODE": mode, "KIWOOM_CONNECTIONS": "2", "KIWOOM_APP_KEY": "", "KIWOOM_SECRET_KEY": ""}
    with manage(tmp_path, "run_gateway", "--simulator", **environment(**more)) as process:
        assert process.wait(30) == 1

    said = (tmp_path / "run_gateway.log").read_text()
    assert said.splitlines() == ["CommandError: The gateway needs KIWOOM_APP_KEY and KIWOOM_SECRET_KEY."]
