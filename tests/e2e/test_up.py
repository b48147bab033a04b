"""``make run``: everything comes up, one dead child is nobody else's problem, Ctrl-C leaves nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import statistics
import time
from pathlib import Path

import httpx
import psutil
import pytest

from tests.conditions import wait_until
from tests.e2e.client import logged_in
from tests.e2e.product import Product

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
CHILDREN = ("web", "worker-collect", "worker-ops", "beat", "simulator", "valkey", "gateway")
#: One backoff step of the gateway's policy.
FLOWS_WITHIN = 60.0
QUIET_SECONDS = 25.0


def test_a_fresh_start_is_ready_with_the_seed_report_as_incident_1(product: Product) -> None:
    status = product.status()

    assert product.ready()
    assert [one["number"] for one in status["incidents"]] == [1]
    assert len([one for one in status["checklist"] if one["incident"] == 1]) == 6
    wait_until(lambda: product.status()["gateway"][0]["state"] == "live", 30, "the feed is live")


def test_the_password_is_told_once(product: Product, admin_password: str) -> None:
    assert product.console.count(admin_password) == 1
    assert product.url in product.console


@pytest.mark.parametrize("name", CHILDREN)
async def test_a_killed_child_comes_back_while_the_others_stay_up(
    product: Product, feed_key: dict[str, str], name: str
) -> None:
    before = await asyncio.to_thread(product.pids)
    async with logged_in(product, feed_key) as client:
        await client.more_rows(30)

        killed = await asyncio.to_thread(product.kill, name)
        await asyncio.to_thread(
            wait_until, lambda: product.pids().get(name, killed) != killed, 30, f"{name} is back"
        )
        await asyncio.to_thread(wait_until, product.ready, 40, "everything is ready again")

        if name != "web":
            await client.more_rows(FLOWS_WITHIN)
            assert client.connected, "a client of /ws stays connected"
    after = await asyncio.to_thread(product.pids)
    assert {child: pid for child, pid in after.items() if child != name} == {
        child: pid for child, pid in before.items() if child != name
    }


async def test_a_dead_upstream_costs_nothing_and_rows_resume_by_themselves(
    product: Product, feed_key: dict[str, str]
) -> None:
    gateway = psutil.Process((await asyncio.to_thread(product.pids))["gateway"])
    async with logged_in(product, feed_key) as client, httpx.AsyncClient() as http:
        await client.more_rows(30)
        lines = product.log_lines("gateway")
        await asyncio.to_thread(product.supervise, "stopProcess", "simulator")
        try:
            await client.told("reconnecting", 20)
            cpu, began, answers = gateway.cpu_times(), time.monotonic(), []
            while time.monotonic() - began < QUIET_SECONDS:
                asked = time.monotonic()
                assert (await http.get(f"{product.url}/health")).status_code == 200
                answers.append(time.monotonic() - asked)
                await asyncio.sleep(0.05)
            spent = gateway.cpu_times()
            elapsed = time.monotonic() - began
            memory = gateway.memory_info().rss
        finally:
            await asyncio.to_thread(product.supervise, "startProcess", "simulator")

        await client.more_rows(FLOWS_WITHIN)
        assert client.connected

    busy = (spent.user + spent.system - cpu.user - cpu.system) / elapsed
    assert busy < 0.02, f"{busy:.1%} of a core"
    assert memory < 200 * 2**20
    assert product.log_lines("gateway") - lines < 20
    assert statistics.quantiles(answers, n=100)[98] < 0.25, "generous: other tests share the machine"


def test_ctrl_c_leaves_no_process_and_a_sound_database_to_start_from(tmp_path: Path) -> None:
    product = Product(tmp_path / "data")
    try:
        product.start()
        pids = product.pids()
        assert set(pids) == set(CHILDREN)
        assert product.stop() == 0
        assert not [pid for pid in pids.values() if psutil.pid_exists(pid)]

        product.start()
        assert product.console.count("admin / ") == 1, "the password is not told again"
        assert product.stop() == 0
    finally:
        product.close()

    with sqlite3.connect(tmp_path / "data" / "bonghwa.sqlite3") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


def test_children_do_not_outlive_a_killed_supervisor(tmp_path: Path) -> None:
    product = Product(tmp_path / "data")
    try:
        product.start()
        supervisor = int((tmp_path / "data" / "supervisord.pid").read_text())
        os.kill(supervisor, signal.SIGKILL)
        wait_until(lambda: not product.processes(), 45, "every child is gone")
    finally:
        for process in product.processes():
            process.kill()
        product.close()
