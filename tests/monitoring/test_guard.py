"""Which addresses probes reach: a name is looked up once, and the address that was checked is used."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import pytest

from portal.monitoring.probes.base import Target
from portal.monitoring.probes.guard import LABEL_NETWORKS, Guard, Policy, Refused, Unresolved, parse_policy
from portal.monitoring.probes.run import PROBES, ask
from tests.conditions import wait_until
from tests.monitoring.probe_servers import LOCAL, http_server, replying, silent, ws_server
from tests.mute import mute

SPECIAL = [
    "127.0.0.1", "127.8.8.8", "::1", "0.0.0.9", "::", "10.0.0.5", "172.16.0.1", "192.168.1.1", "100.64.0.1",
    "169.254.169.254", "169.254.1.1", "fe80::1", "fe80::1%eth0", "fd00::1", "fd00:ec2::254", "224.0.0.1",
    "ff02::1", "255.255.255.255", "240.0.0.1", "198.18.0.1", "192.0.2.1", "::ffff:127.0.0.1",
    "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a9fe:a9fe::1",
    "168.63.129.16", "100.100.100.200",
]  # fmt: skip


@pytest.mark.parametrize("text", SPECIAL)
def test_special_addresses_are_refused_and_the_variable_that_allows_them_is_named(text: str) -> None:
    assert "PROBE_ALLOW" in Policy().objection("some.name", ipaddress.ip_address(text))


@pytest.mark.parametrize("text", ["8.8.8.8", "203.0.114.7", "2001:4860:4860::8888", "64:ff9b::808:808"])
def test_public_addresses_are_allowed(text: str) -> None:
    assert Policy().objection("some.name", ipaddress.ip_address(text)) == ""


@pytest.mark.parametrize(
    ("entry", "name", "text"),
    [
        ("10.0.0.0/8", "x", "10.1.2.3"),
        ("10.1.2.3", "x", "10.1.2.3"),
        ("loopback", "x", "127.0.0.1"),
        ("loopback", "x", "::1"),
        ("private", "x", "192.168.7.7"),
        ("db.internal", "DB.internal.", "10.9.9.9"),
        ("169.254.169.254", "x", "169.254.169.254"),
    ],
)
def test_an_entry_allows_what_it_names(entry: str, name: str, text: str) -> None:
    assert parse_policy([entry]).objection(name, ipaddress.ip_address(text)) == ""
    assert parse_policy([]).objection(name, ipaddress.ip_address(text)) != ""


@pytest.mark.parametrize("entry", ["169.254.0.0/16", "0.0.0.0/0", "metadata.internal", "private"])
def test_metadata_is_refused_inside_an_allowed_network_and_under_an_allowed_name(entry: str) -> None:
    policy = parse_policy([entry]).including(LABEL_NETWORKS)
    for text in ("169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254"):
        assert "metadata" in policy.objection("metadata.internal", ipaddress.ip_address(text))


@pytest.mark.parametrize("entry", ["10.0.0.0/33", "a b", "http://x/", "1.2.3", "-", "*.example.com"])
def test_an_entry_that_is_no_address_network_or_name_is_an_error(entry: str) -> None:
    with pytest.raises(ValueError, match="is no address, network or host name"):
        parse_policy([entry])


class Rebinding:
    """A name server whose answer changes with every question, and which counts them."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers[min(len(self.asked), len(self.answers)) - 1]


URLS = {
    "http": "http://rebind.example:{port}/",
    "websocket": "ws://rebind.example:{port}/ws",
    "tls": "tls://rebind.example:{port}",
    "tcp": "tcp://rebind.example:{port}",
}


class Doors:
    """The same port on two loopback addresses: one allowed, one forbidden; counts who is called."""

    def __init__(self, stack: ExitStack) -> None:
        self.calls: dict[str, int] = {"127.0.0.2": 0, "127.0.0.3": 0}
        first = stack.enter_context(socket.create_server(("127.0.0.2", 0)))
        self.port = first.getsockname()[1]
        second = stack.enter_context(socket.create_server(("127.0.0.3", self.port)))
        for listener in (first, second):
            thread = threading.Thread(target=self._serve, args=(listener,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(listener.shutdown, socket.SHUT_RDWR)

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _peer = listener.accept()
            except OSError:
                return
            self.calls[listener.getsockname()[0]] += 1
            connection.close()


@pytest.mark.parametrize("kind", list(PROBES))
def test_a_name_that_changes_its_address_after_the_check_is_reached_where_it_was_checked(kind: str) -> None:
    names = Rebinding(["127.0.0.2"], ["127.0.0.3"])
    guard = Guard(policy=parse_policy(["127.0.0.2"]), resolver=names)
    with ExitStack() as stack:
        doors = Doors(stack)
        ask(Target(kind=kind, url=URLS[kind].format(port=doors.port), timeout_s=2), guard)
        wait_until(lambda: doors.calls["127.0.0.2"], what="the checked address is called")
        assert doors.calls == {"127.0.0.2": 1, "127.0.0.3": 0}
    assert names.asked == ["rebind.example"]


@pytest.mark.parametrize("kind", list(PROBES))
@pytest.mark.parametrize("answer", [["127.0.0.3"], ["127.0.0.2", "127.0.0.3"]], ids=["forbidden", "mixed"])
def test_a_name_with_a_forbidden_address_is_not_contacted_at_all(kind: str, answer: list[str]) -> None:
    guard = Guard(policy=parse_policy(["127.0.0.2"]), resolver=Rebinding(answer))
    with ExitStack() as stack:
        doors = Doors(stack)
        seen = ask(Target(kind=kind, url=URLS[kind].format(port=doors.port), timeout_s=2), guard)
        assert doors.calls == {"127.0.0.2": 0, "127.0.0.3": 0}
    assert seen.ok is None
    assert seen.detail == "refused: 127.0.0.3 is not a public address; list it in PROBE_ALLOW to probe it"


@pytest.mark.parametrize("kind", list(PROBES))
@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "localhost"]
)
def test_every_spelling_of_loopback_is_refused(kind: str, host: str) -> None:
    with mute() as server:
        url = URLS[kind].format(port=server.port).replace("rebind.example", host)
        seen = ask(Target(kind=kind, url=url, timeout_s=2), Guard())
    assert seen.ok is None
    assert "PROBE_ALLOW" in seen.detail


def test_the_second_address_of_a_name_is_tried_when_the_first_does_not_answer() -> None:
    with http_server(replying(200)) as url:
        port = url.rstrip("/").rpartition(":")[2]
        guard = Guard(policy=LOCAL.policy, resolver=Rebinding(["127.0.0.9", "127.0.0.1"]))
        assert ask(Target(url=f"http://two.example:{port}/"), guard).ok
        assert ask(Target(kind="tcp", url=f"tcp://two.example:{port}"), guard).ok


METADATA = "http://169.254.169.254/latest/meta-data/?token=hunter2"


def test_a_redirect_to_metadata_is_told_masked_and_not_followed() -> None:
    with http_server(replying(302, Location=METADATA)) as url:
        seen = ask(Target(url=url), LOCAL)
        wanted = ask(Target(url=url, expected_status=302), LOCAL)
    text = "HTTP 302, redirects to http://169.254.169.254/latest/meta-data/?token=[secret]"
    assert (seen.ok, seen.status, seen.detail) == (False, 302, text)
    assert (wanted.ok, wanted.detail) == (True, text)


@pytest.mark.parametrize("where", ["/elsewhere", "ws://127.0.0.3/", METADATA, "http://[", ""])
def test_a_websocket_redirect_is_told_and_not_followed(where: str) -> None:
    asked: list[str] = []

    def refuse(connection, request):
        asked.append(request.path)
        answer = connection.respond(302, "")
        answer.headers["Location"] = where
        return answer

    with ws_server(silent, refuse) as url:
        seen = ask(Target(kind="websocket", url=url), LOCAL)
    assert (seen.ok, seen.status) == (False, 302)
    assert seen.detail.startswith("handshake refused with HTTP 302")
    assert "hunter2" not in seen.detail
    assert asked == ["/ws"]


def test_a_resolver_that_hangs_costs_no_more_than_the_time_limit(
    request: pytest.FixtureRequest,
) -> None:
    free = threading.Event()
    request.addfinalizer(free.set)

    def hang(_host: str, _port: int) -> Sequence[str]:
        free.wait(20)
        return ["127.0.0.1"]

    with pytest.raises(Unresolved, match=r"not resolved within 0\.2 s"):
        Guard(resolver=hang).addresses("slow.example", 80, 0.2)


@pytest.mark.parametrize(
    "fault", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label empty")]
)
def test_a_name_that_cannot_be_resolved_fails_with_the_reason(fault: Exception) -> None:
    def fail(_host: str, _port: int) -> Sequence[str]:
        raise fault

    seen = ask(Target(kind="tcp", url="tcp://no.example:1"), Guard(resolver=fail))
    assert seen.ok is False
    assert seen.detail.startswith("no.example cannot be resolved: ")


def test_a_label_may_name_private_and_loopback_addresses_but_no_link_local_ones() -> None:
    policy = Policy().including(LABEL_NETWORKS)
    check: Callable[[str], str] = lambda text: policy.objection("x", ipaddress.ip_address(text))  # noqa: E731
    assert [check(text) for text in ("127.0.0.1", "172.17.0.2", "10.0.0.1", "fd00::1")] == [""] * 4
    assert all(check(text) for text in ("169.254.169.254", "169.254.1.1", "100.64.0.1", "0.0.0.9"))


def test_nothing_is_connected_to_once_an_address_is_refused() -> None:
    with pytest.raises(Refused):
        Guard(resolver=Rebinding(["8.8.8.8", "10.0.0.1"])).connect("mixed.example", 9, 1)
