"""The verifiers name each way to get the proxy wrong: the shipped file, broken one line at a time."""

from __future__ import annotations

import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from incidents.models import Outcome
from portal.operations import forwarding_verifier, reach_verifiers
from portal.operations.proxy_hop import Arrived, Flaw, flaws
from tests.gateway.feed_world import Web
from tests.monitoring.certificates import Authority
from tests.proxy import fronts
from tests.proxy.fronts import Edit
from tests.services import free_port

UPGRADE = {"path": "/ws", "timeout_s": 10.0}
FORWARDING = UPGRADE | {"silence_s": 4.0}


def changed(old: str, new: str) -> Edit:
    """Replace where it stands; other files stay."""
    return lambda text: text.replace(old, new)


def without(name: str) -> Edit:
    """Leave a header out."""
    return lambda text: re.sub(rf"(?m)^proxy_set_header {name} .*\n", "", text)


@pytest.fixture
def through_the_front(settings, authority: Authority) -> Callable[[str], None]:
    """Make the verifiers look through a front."""
    settings.LANGUAGE_CODE = "en"
    settings.PROBE_CA_FILE = str(authority.file)

    def look(url: str) -> None:
        settings.PUBLIC_URL = url

    return look


@pytest.mark.nginx
@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (without("Upgrade"), "no upgrade header is forwarded"),
        (without("Connection"), "the Connection header is hard-coded wrong: Connection: close"),
        (
            changed("Connection $bonghwa_connection", "Connection $http_connection"),
            "no upgrade header is forwarded when the client sends no Connection header",
        ),
        (
            changed("Connection $bonghwa_connection", "Connection keep-alive"),
            "the Connection header is hard-coded wrong: Connection: keep-alive",
        ),
    ],
    ids=["no Upgrade", "no Connection", "the client's Connection", "a wrong one"],
)
def test_a_lost_upgrade_is_named(
    web: Web, certificate: Path, through_the_front: Callable[[str], None], edit: Edit, said: str
) -> None:
    with fronts.bare_tls(web.port, certificate, edit) as front:
        through_the_front(front.url)
        seen = reach_verifiers.upgrade("", UPGRADE)

    assert (seen.outcome, said in seen.observed) == (Outcome.FAIL, True), seen


@pytest.mark.nginx
@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (without("Host"), "Host is not passed on: bonghwa arrives"),
        (
            without("X-Forwarded-Proto"),
            "X-Forwarded-Proto is not passed on, or TRUSTED_PROXIES is empty: the request arrives as http",
        ),
        (without("X-Forwarded-For"), "X-Forwarded-For is not passed on: everybody counts as one address"),
        (
            changed("proxy_read_timeout 75s", "proxy_read_timeout 2s"),
            "s: the read timeout is too short",
        ),
    ],
    ids=["no Host", "no X-Forwarded-Proto", "no X-Forwarded-For", "impatient"],
)
def test_what_is_not_passed_on_is_named(
    web: Web, certificate: Path, through_the_front: Callable[[str], None], edit: Edit, said: str
) -> None:
    with fronts.bare_tls(web.port, certificate, edit) as front:
        through_the_front(front.url)
        seen = forwarding_verifier.forwarding(
            "", FORWARDING | ({} if "timeout" in said else {"silence_s": 0.2})
        )

    assert (seen.outcome, said in seen.observed) == (Outcome.FAIL, True), seen
    assert ";" not in seen.observed, "nothing else is wrong"


@pytest.mark.nginx
def test_a_fixed_upgrade_is_named_but_no_failure(
    web: Web, certificate: Path, through_the_front: Callable[[str], None]
) -> None:
    edit = changed("Connection $bonghwa_connection", 'Connection "upgrade"')
    with fronts.bare_tls(web.port, certificate, edit) as front:
        through_the_front(front.url)
        seen = forwarding_verifier.forwarding("", FORWARDING | {"silence_s": 0.2})

    assert seen.outcome == Outcome.PASS, seen
    assert seen.observed.endswith("harmless: Connection: upgrade is sent with a request that asks for none")


@pytest.mark.nginx
def test_the_command_tells_a_wrong_proxy_from_a_right_one(
    web: Web, certificate: Path, through_the_front: Callable[[str], None]
) -> None:
    def hasty_and_without_host(text: str) -> str:
        return without("Host")(changed("proxy_read_timeout 75s", "proxy_read_timeout 2s")(text))

    said: list[str] = []
    with fronts.bare_tls(web.port, certificate, hasty_and_without_host) as front:
        through_the_front(front.url)
        with pytest.raises(CommandError, match=r"^not right: proxy\.forwarding$"):
            call_command("check_proxy", stdout=(out := StringIO()))
        said.append(out.getvalue())
    with fronts.bare_tls(web.port, certificate) as front:
        through_the_front(front.url)
        call_command("check_proxy", stdout=(out := StringIO()))
        said.append(out.getvalue())

    wrong, right = said
    assert "proxy.upgrade: pass" in wrong
    assert "proxy.forwarding: fail: Host is not passed on: bonghwa arrives; a silent" in wrong
    assert "proxy.forwarding: pass: host, scheme and address arrive" in right


@pytest.mark.parametrize(
    ("arrived", "found"),
    [
        (Arrived("https", "bonghwa.example", "", "forwarded"), ()),
        (Arrived("https", "bonghwa.example:8443", "close", "forwarded"), ()),
        (Arrived("https", "BONGHWA.example", "keep-alive", "forwarded"), ()),
        (Arrived("https", "", "", "forwarded"), (Flaw.HOST,)),
        (Arrived("http", "web:5111", "", "absent"), (Flaw.HOST, Flaw.SCHEME, Flaw.ADDRESS_ABSENT)),
        (Arrived("https", "bonghwa.example", "", "ignored"), (Flaw.ADDRESS_IGNORED,)),
        (Arrived("https", "bonghwa.example", "keep-alive, Upgrade", "forwarded"), (Flaw.CONNECTION,)),
    ],
)
def test_what_arrived_is_compared_with_what_was_asked(arrived: Arrived, found: tuple[Flaw, ...]) -> None:
    assert flaws(arrived, scheme="https", host="bonghwa.example:8443") == found


@pytest.mark.nginx
def test_a_server_that_is_no_portal_says_nothing(through_the_front: Callable[[str], None]) -> None:
    with fronts.bare(free_port(), changed("proxy_pass http://$bonghwa_web;", "return 404;")) as front:
        through_the_front(front.url)
        seen = forwarding_verifier.forwarding("", FORWARDING)

    assert (seen.outcome, "HTTP 404" in seen.observed) == (Outcome.UNKNOWN, True), seen
