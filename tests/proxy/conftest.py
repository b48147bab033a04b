"""One web process behind all the proxies of these tests, as it runs behind TLS; and a certificate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from portal.monitoring.probes.guard import Guard, parse_policy
from tests.gateway.feed_world import Web, web_server
from tests.monitoring.certificates import HOST, Authority

SECURE = {
    "PUBLIC_URL": "https://127.0.0.1",
    "TRUSTED_PROXIES": "127.0.0.1",
    "FEED_MAX_CONNECTIONS_PER_ADDRESS": "1000",
    "FEED_LOGIN_TIMEOUT": "4",  # the verifiers wait for its end
}


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who issues the certificates."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def certificate(authority: Authority) -> Path:
    """A file with a certificate for 127.0.0.1 and its key."""
    return authority.issue(HOST)


@pytest.fixture(scope="session")
def guard(authority: Authority) -> Guard:
    """What lets the verifiers reach loopback and trust the certificate."""
    return Guard(parse_policy(["loopback"]), ca_file=str(authority.file))


@pytest.fixture(scope="package")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """The web process."""
    with web_server(tmp_path_factory.mktemp("proxied") / "web", **SECURE) as one:
        yield one
