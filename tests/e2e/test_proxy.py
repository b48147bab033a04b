"""The feed through a real nginx with the deploy snippet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from portal.monitoring.probes.guard import Guard, parse_policy
from portal.operations import proxy_probe
from tests.e2e.client import logged_in
from tests.e2e.product import Product

pytestmark = [pytest.mark.slow, pytest.mark.nginx, pytest.mark.timeout(300)]


async def test_rows_flow_through_nginx(
    product: Product, feed_key: dict[str, str], nginx: Callable[[int], int]
) -> None:
    port = await asyncio.to_thread(nginx, product.port)

    async with logged_in(product, feed_key, url=f"http://127.0.0.1:{port}") as client:
        await client.more_rows(30)

    assert {row["item"] for row in client.rows} == {"005930"}


def test_the_checklist_s_verifier_finds_the_deploy_snippet_right(
    product: Product, nginx: Callable[[int], int]
) -> None:
    guard = Guard(parse_policy(["loopback"]))
    proxied = proxy_probe.look(f"ws://127.0.0.1:{nginx(product.port)}/ws", guard, timeout_s=10)
    bare = proxy_probe.look(f"ws://127.0.0.1:{product.port}/ws", guard, timeout_s=10)

    assert proxied.finding is proxy_probe.Finding.OK, proxied
    assert bare.finding is proxy_probe.Finding.NOT_FORWARDED, "nothing sets the header without a proxy"
