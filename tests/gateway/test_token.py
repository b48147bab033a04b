"""How tokens are asked for when nobody answers."""

from __future__ import annotations

import pytest

from gateway.config import AppKey
from gateway.protocol import Refusal, Verdict
from gateway.token import TokenSource
from tests.mute import mute


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_mute_server_is_given_up_in_time_and_its_connection_closed(scheme: str) -> None:
    with mute() as server:
        source = TokenSource(
            f"{scheme}://127.0.0.1:{server.port}", AppKey("one", "key", "secret"), request_timeout=0.5
        )
        found = await source.get()

        assert isinstance(found, Refusal)
        assert found.verdict is Verdict.RETRY
        assert f"cannot reach {scheme}://127.0.0.1:{server.port}/oauth2/token" in str(found)
        assert server.closed()
