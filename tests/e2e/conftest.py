"""The product, started once for the tests that leave it as they found it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.e2e.product import Product


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A running Bonghwa with embedded parts and the simulator."""
    running = Product(tmp_path_factory.mktemp("product"))
    try:
        running.start()
        yield running
    finally:
        running.close()


@pytest.fixture(scope="session")
def feed_key(product: Product) -> dict[str, str]:
    """A feed key of the product."""
    made: dict[str, str] = json.loads(product.manage("feedkey", "create", "--name", "e2e", "--json"))
    return made


@pytest.fixture(scope="session")
def admin_password(product: Product) -> str:
    """The admin's password, as the product's console told it."""
    found = re.search(r"admin\s*/\s*(\S+)", product.console)
    assert found, product.console
    return found[1]
