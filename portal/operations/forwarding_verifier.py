"""The verifier of what a proxy tells of a request, and of its patience with a silent WebSocket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from incidents.models import Outcome
from incidents.registry import Parameter, Verdict, Verifier
from portal.monitoring.probes.guard import Refused
from portal.monitoring.probes.urls import BadUrl
from portal.operations import proxy_hop
from portal.operations.proxy_hop import Arrived, Flaw, Silence
from portal.operations.proxy_probe import Unreachable
from portal.operations.reach_verifiers import NoProxy, guard_of, public_sockets, socket_behind_proxy

METHOD = "request, silent WebSocket"
_WORDS = {
    Flaw.HOST: gettext_lazy("Host is not passed on: %(host)s arrives"),
    Flaw.SCHEME: gettext_lazy(
        "X-Forwarded-Proto is not passed on, or TRUSTED_PROXIES is empty: the request arrives as %(scheme)s"
    ),
    Flaw.ADDRESS_ABSENT: gettext_lazy("X-Forwarded-For is not passed on: everybody counts as one address"),
    Flaw.ADDRESS_IGNORED: gettext_lazy(
        "TRUSTED_PROXIES does not list the proxy: everybody counts as one address"
    ),
    Flaw.CONNECTION: gettext_lazy("harmless: Connection: upgrade is sent with a request that asks for none"),
    Flaw.CUT: gettext_lazy("a silent WebSocket was cut after %(seconds)g s: the read timeout is too short"),
}


def forwarding(target: str, parameters: Mapping[str, Any]) -> Verdict:
    """Ask the portal through the proxy what arrives, then wait on a WebSocket that says nothing."""
    try:
        socket_url = socket_behind_proxy(target, str(parameters["path"]))
    except NoProxy as error:
        return Verdict(Outcome.UNKNOWN, str(error), METHOD)
    asked = urlsplit(socket_url.replace("ws", "http", 1))
    limit = float(parameters["timeout_s"])
    try:
        guard = guard_of(socket_url)
        arrived = proxy_hop.ask(asked.geturl(), guard, timeout_s=limit)
        silence = proxy_hop.listen(
            socket_url, guard, timeout_s=limit, silence_s=float(parameters["silence_s"])
        )
    except (Refused, BadUrl, Unreachable, proxy_hop.NoAnswer) as error:
        return Verdict(Outcome.UNKNOWN, f"{socket_url}: {error}"[:500], METHOD)
    found = list(proxy_hop.flaws(arrived, scheme=asked.scheme, host=asked.netloc))
    if silence.cut:
        found.append(Flaw.CUT)
    outcome = Outcome.FAIL if set(found) - proxy_hop.HARMLESS else Outcome.PASS
    return Verdict(outcome, worded(found, arrived, silence)[:500], f"{METHOD} {socket_url}"[:200])


def worded(found: list[Flaw], arrived: Arrived, silence: Silence) -> str:
    """Return what was found, in the active language."""
    facts = {"host": arrived.host or "-", "scheme": arrived.scheme, "seconds": silence.seconds}
    shown = [str(_WORDS[flaw]) % facts for flaw in found]
    if not set(found) - proxy_hop.HARMLESS:
        fine = _("host, scheme and address arrive; a silent WebSocket stayed open for %(seconds)g s")
        shown.insert(0, fine % facts)
    return "; ".join(shown)


VERIFIERS = (
    Verifier(
        name="proxy.forwarding",
        label=gettext_lazy("Proxy passes on host, scheme and address"),
        help=gettext_lazy(
            "Passes when a request through the proxy arrives with its host, scheme and address, and a "
            "WebSocket that says nothing is kept until the portal itself ends it. Without a ws:// or "
            "wss:// address as target, PUBLIC_URL is tried."
        ),
        check=forwarding,
        defaults={"path": "/ws", "timeout_s": 5.0, "silence_s": 12.0},
        matches=(("x-forwarded",), ("forwarded", "header"), ("forwarded", "헤더")),
        parameters=(
            Parameter(
                name="path",
                label=gettext_lazy("path under the public URL"),
                help=gettext_lazy("Used unless the target is a ws:// or wss:// URL."),
            ),
            Parameter(name="timeout_s", label=gettext_lazy("timeout (s)"), kind="number", least=0.2, most=10),
            Parameter(
                name="silence_s", label=gettext_lazy("silence to keep (s)"), kind="number", least=0.2, most=12
            ),
        ),
        targets=public_sockets,
    ),
)
