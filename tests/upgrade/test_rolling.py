"""Every process is replaced while 200 clients read: all are back with their topics, gaps are told.

``--log-cli-level=INFO`` shows the figures.
"""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from tests.upgrade.fleet import a_fleet, connected, owner, reads_again, until

logger = logging.getLogger(__name__)
pytestmark = [pytest.mark.fleet, pytest.mark.nginx, pytest.mark.timeout(600)]

CLIENTS = 200
#: Far above what is needed, so that load cannot fail the test; the log has the figures.
PATIENCE = 120.0


async def test_web_and_gateway_are_replaced_one_by_one_and_every_client_is_back_with_its_topics(tmp_path):
    with a_fleet(tmp_path) as fleet:
        desk = fleet.desk
        first = await asyncio.to_thread(fleet.start_gateway)
        await desk.told(lambda status: status.session == "LIVE", within=PATIENCE)
        second = await asyncio.to_thread(fleet.start_gateway)
        await desk.told(lambda status: status.standbys == 1, "a standby", within=PATIENCE)
        readers = fleet.readers(CLIENTS)
        async with connected(readers, PATIENCE):
            for web in fleet.webs:
                await replace_web(web, readers)
            await replace_gateway(desk, first, second, readers)
            # They came, and came back once for each web process that they were on when it was replaced.
            assert {one.returns for one in readers} == {2, 3}


async def replace_web(web, readers):
    """Stop one web process as an upgrade does; its clients alone notice, and come back when asked to."""
    before = {id(one): one.returns for one in readers}
    began = time.monotonic()
    stopped = await asyncio.to_thread(web.terminate, 60)
    assert stopped == 0
    await asyncio.to_thread(web.start)
    await until(lambda: all(reads_again(one, began) for one in readers), "everybody reads again", PATIENCE)
    moved = [one for one in readers if one.returns > before[id(one)]]
    # The second process has all of them: the first one's clients went there.
    assert moved
    assert all(one.codes[-1] == 1012 for one in moved)
    assert all(one.returns == before[id(one)] + 1 for one in moved)
    away = [one.back - one.lost for one in moved]
    logger.info("%d of %d clients came back, the last after %.1f s", len(moved), len(readers), max(away))


async def replace_gateway(desk, first, second, readers):
    """Stop the owner as an upgrade does: the standby takes over, nobody reconnects, all hear of the gap."""
    before = [one.returns for one in readers]
    began = time.monotonic()
    first.terminate()
    await desk.told(owner(second), "the standby owns the key", within=PATIENCE)
    await until(lambda: all(one.last_row > began for one in readers), "rows reach everybody", PATIENCE)
    await until(lambda: all(one.gaps for one in readers), "everybody is told of the gap", PATIENCE)
    logger.info("rows reached everybody %.1f s after the owner was told to stop", time.monotonic() - began)
    assert [one.returns for one in readers] == before
    assert {gap["reason"] for one in readers for gap in one.gaps} == {"owner"}
    assert all(one.gaps[0]["topics"] == [f"0B:{one.topics[0]}"] for one in readers)
