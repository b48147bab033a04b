"""Certificates that are good, expired, of another host, self-signed or near their end, on real servers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from portal.monitoring.probes.base import ProbeReading, Target
from portal.monitoring.probes.guard import Guard
from portal.monitoring.probes.run import ask
from tests.monitoring.certificates import HOST, Authority, server_context, tls_server
from tests.monitoring.probe_servers import LOCAL, http_server, replying, wss_server
from tests.mute import mute


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority that the probes trust when they are given its file."""
    return Authority(tmp_path)


def resolver(_host: str, _port: int) -> Sequence[str]:
    """Every name leads to this machine."""
    return ["127.0.0.1"]


def trusting(authority: Authority) -> Guard:
    """A guard that may reach loopback and trusts ``authority``."""
    return replace(LOCAL, resolver=resolver, ca_file=str(authority.file))


def look(authority: Authority, pem: Path, host: str = HOST, **changes: object) -> ProbeReading:
    """The TLS probe of a server with the certificate ``pem``, reached as ``host``."""
    with tls_server(pem) as port:
        target = Target(kind="tls", url=f"tls://{host}:{port}", timeout_s=5, **changes)  # type: ignore[arg-type]
        return ask(target, trusting(authority))


def test_a_good_certificate_passes_with_its_end(authority: Authority) -> None:
    seen = look(authority, authority.issue(HOST))
    assert seen.ok
    assert seen.detail.startswith("certificate valid for 89 days, until ")
    assert seen.expires_at is not None
    assert abs(seen.expires_at - datetime.now(UTC) - timedelta(days=90)) < timedelta(minutes=5)


def test_a_certificate_without_an_end_passes_and_has_none(authority: Authority) -> None:
    days = (datetime(9999, 12, 31, 12, tzinfo=UTC) - datetime.now(UTC)) / timedelta(days=1)
    seen = look(authority, authority.issue(HOST, days=(-1, days)))
    assert (seen.ok, seen.expires_at) == (True, None)
    assert "until 9999-12-31" in seen.detail


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        (HOST, {"days": (-20, -2)}, "certificate not trusted: certificate has expired (expired on "),
        ("other.example", {}, "certificate not trusted: Hostname mismatch"),
        (HOST, {"self_signed": True}, "certificate not trusted: self-signed certificate (valid until "),
        (HOST, {"days": (1, 90)}, "certificate not trusted: certificate is not yet valid"),
        (HOST, {"days": (-20, 5.5)}, "certificate ends in 5 days, on "),
    ],
    ids=["expired", "another host", "self-signed", "not yet valid", "near its end"],
)
def test_a_bad_certificate_fails_with_the_reason_and_its_end(
    authority: Authority, name: str, options: dict[str, object], words: str
) -> None:
    seen = look(authority, authority.issue(name, **options))  # type: ignore[arg-type]
    assert seen.ok is False
    assert seen.detail.startswith(words)
    assert seen.expires_at is not None


def test_an_authority_that_nobody_trusts_is_told(authority: Authority, tmp_path: Path) -> None:
    with tls_server(authority.issue(HOST)) as port:
        guard = replace(trusting(authority), ca_file="")
        seen = ask(Target(kind="tls", url=f"tls://{HOST}:{port}"), guard)
    assert seen.ok is False
    assert "unable to get local issuer certificate" in seen.detail


def test_an_address_can_be_probed_under_the_hosts_name(authority: Authority) -> None:
    names: list[str | None] = []
    with tls_server(authority.issue("shop.example"), names) as port:
        target = Target(kind="tls", url=f"tls://127.0.0.1:{port}", host="shop.example")
        assert ask(target, trusting(authority)).ok
    assert names == ["shop.example"]


def test_a_server_that_speaks_no_tls_or_nothing_fails(authority: Authority) -> None:
    with http_server(replying(200)) as url:
        plain = ask(Target(kind="tls", url=url.replace("http:", "tls:"), timeout_s=3), LOCAL)
    with mute() as server:
        silent = ask(Target(kind="tls", url=f"tls://127.0.0.1:{server.port}", timeout_s=0.3), LOCAL)
    assert (plain.ok, silent.ok) == (False, False)
    assert plain.detail.startswith("no TLS handshake: ")
    assert silent.detail == "no TLS handshake within 0.3 s"


def test_https_checks_the_certificate_against_the_name_and_connects_to_the_address(
    authority: Authority,
) -> None:
    context = server_context(authority.issue(HOST))
    with http_server(replying(200), context) as url:
        port = url.rstrip("/").rpartition(":")[2]
        good = ask(Target(url=f"https://{HOST}:{port}/"), trusting(authority))
        named = ask(Target(url=f"https://127.0.0.1:{port}/", host=HOST), trusting(authority))
        other = ask(Target(url=f"https://other.example:{port}/"), trusting(authority))
        stranger = ask(Target(url=f"https://{HOST}:{port}/"), replace(trusting(authority), ca_file=""))
    assert (good.ok, named.ok) == (True, True)
    assert other.ok is False
    assert other.detail.startswith("certificate not trusted: Hostname mismatch")
    assert stranger.detail.startswith("certificate not trusted: unable to get local issuer certificate")


def test_wss_checks_the_certificate_too(authority: Authority) -> None:
    with wss_server(server_context(authority.issue(HOST))) as port:
        good = ask(Target(kind="websocket", url=f"wss://{HOST}:{port}/"), trusting(authority))
        named = ask(Target(kind="websocket", url=f"wss://127.0.0.1:{port}/", host=HOST), trusting(authority))
        other = ask(Target(kind="websocket", url=f"wss://other.example:{port}/"), trusting(authority))
    assert (good.ok, named.ok) == (True, True)
    assert other.detail.startswith("certificate not trusted: Hostname mismatch")
