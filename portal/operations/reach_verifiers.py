"""Verifiers from outside: upgrade headers through the public URL, probes, and alerts that reach people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from incidents import channels
from incidents.models import Delivery, DeliveryState, IncidentSignal, NotificationKind, Outcome
from incidents.registry import Parameter, Verdict, Verifier
from portal.monitoring import probing
from portal.monitoring.models import Endpoint, ProbeResult, Rule, RuleKind, SelfTest, SelfTestState
from portal.monitoring.probes.guard import Guard, Refused
from portal.monitoring.probes.urls import BadUrl
from portal.monitoring.probes.wording import in_words
from portal.operations import proxy_probe
from portal.operations.proxy_probe import Finding, Judgement
from portal.operations.retry_verifiers import service_names

HANDSHAKE, PROBES, RULES = "WebSocket handshake", "probe results", "rules, deliveries"
#: Rules and signals that are looked at.
MAX_RULES = 500
MAX_ENDPOINTS = 50
DEFAULT_KINDS = (RuleKind.CPU.value, RuleKind.MEMORY_LIMIT.value, RuleKind.MEMORY_NO_LIMIT.value)
_BY_FINDING = {
    Finding.OK: gettext_lazy("the upgrade is passed on, and Connection is set for clients that send none"),
    Finding.NOT_FORWARDED: gettext_lazy("no upgrade header is forwarded"),
    Finding.HARD_CODED: gettext_lazy("the Connection header is hard-coded wrong"),
    Finding.TIMEOUT: gettext_lazy("timeout: the server behind the proxy does not answer"),
    Finding.BAD_GATEWAY: gettext_lazy("bad gateway: the server behind the proxy is not there"),
    Finding.UNCLEAR: gettext_lazy("the answer tells nothing of the headers"),
}
_NONE_SENT = gettext_lazy("no upgrade header is forwarded when the client sends no Connection header")


class NoProxy(Exception):
    """There is no proxy to look at; the message says why, in the active language."""


def public_socket_url(path: str) -> str:
    """Return the WebSocket URL of ``path`` under ``PUBLIC_URL``."""
    parts = urlsplit(settings.PUBLIC_URL)
    scheme = "wss" if parts.scheme == "https" else "ws"
    return urlunsplit((scheme, parts.netloc, f"/{path.lstrip('/')}", "", ""))


def socket_behind_proxy(target: str, path: str) -> str:
    """Return ``target`` if it is a WebSocket's URL, else that of ``path`` under ``PUBLIC_URL``.

    Raises:
        NoProxy: ``PUBLIC_URL`` leads to this server itself.
    """
    if target.startswith(("ws://", "wss://")):
        return target
    url = public_socket_url(path)
    if is_ourselves(url):
        raise NoProxy(_("PUBLIC_URL is this server itself: there is no proxy to look at"))
    return url


def upgrade(target: str, parameters: Mapping[str, Any]) -> Verdict:
    """Shake hands through the proxy and say what it does with the upgrade headers."""
    try:
        url = socket_behind_proxy(target, str(parameters["path"]))
    except NoProxy as error:
        return Verdict(Outcome.UNKNOWN, str(error), HANDSHAKE)
    try:
        seen = proxy_probe.look(url, guard_of(url), timeout_s=float(parameters["timeout_s"]))
    except (Refused, BadUrl, proxy_probe.Unreachable) as error:
        return Verdict(Outcome.UNKNOWN, f"{url}: {error}"[:500], HANDSHAKE)
    return Verdict(_outcome(seen), f"{worded(seen)} ({seen.seen})"[:500], f"{HANDSHAKE} {url}"[:200])


def worded(seen: Judgement) -> str:
    """Return the finding in the active language."""
    text = str(_BY_FINDING[seen.finding])
    if seen.finding is Finding.NOT_FORWARDED and seen.seen.startswith("full HTTP 101"):
        text = str(_NONE_SENT)
    return f"{text}: Connection: {seen.arrived}" if seen.arrived else text


def _outcome(seen: Judgement) -> Outcome:
    if seen.finding is Finding.UNCLEAR:
        return Outcome.UNKNOWN
    return Outcome.PASS if seen.finding is Finding.OK else Outcome.FAIL


def is_ourselves(url: str) -> bool:
    """Whether ``url`` is this server without anything in front."""
    parts = urlsplit(url)
    return parts.hostname in ("127.0.0.1", "localhost", "::1") and parts.port == settings.PORT


def guard_of(url: str) -> Guard:
    """Return the guard: the host of ``PUBLIC_URL`` was chosen by an administrator and may be internal."""
    public, asked = urlsplit(settings.PUBLIC_URL), urlsplit(url)
    return probing.guard(from_label=public.hostname == asked.hostname and public.port == asked.port)


def probes_green(target: str, parameters: Mapping[str, Any]) -> Verdict:
    """Check that every endpoint of the service, or the endpoint so named, passes and did for some minutes."""
    now = timezone.now()
    since = now - timedelta(minutes=float(parameters["minutes"]))
    wanted = Q(service__name=target) | Q(name=target)
    found = list(Endpoint.objects.filter(wanted, enabled=True).order_by("name")[:MAX_ENDPOINTS])
    if not target or not found:
        reason = _("nothing probes %(name)s") % {"name": target} if target else _("no target service is set")
        return Verdict(Outcome.UNKNOWN, reason, PROBES, gone=bool(target))
    now_passing = {one: one.passing(now) for one in found}
    if failing := [one for one, passes in now_passing.items() if passes is False]:
        shown = "; ".join(f"{one.name}: {in_words(one.detail)}" for one in failing)
        return Verdict(Outcome.FAIL, shown[:500], PROBES)
    if silent := [one.name for one, passes in now_passing.items() if passes is None]:
        reason = _("no result that counts of %(names)s") % {"names": ", ".join(silent)}
        return Verdict(Outcome.UNKNOWN, reason[:500], PROBES)
    results = ProbeResult.objects.filter(endpoint__in=found, at__gte=since)
    bad = results.filter(ok=False).select_related("endpoint").order_by("-at").first()
    if bad is not None:
        shown = _("%(name)s failed at %(time)s") % {"name": bad.endpoint.name, "time": _clock(bad.at)}
        return Verdict(Outcome.FAIL, shown[:500], PROBES)
    shown = _("%(n)d endpoints pass, %(results)d results in %(minutes)g min") % {
        "n": len(found),
        "results": results.count(),
        "minutes": float(parameters["minutes"]),
    }
    return Verdict(Outcome.PASS, shown, PROBES)


def armed(target: str, parameters: Mapping[str, Any]) -> Verdict:
    """Check that rules of the kinds watch ``target``, and that a message reached people lately."""
    if not target:
        return Verdict(Outcome.UNKNOWN, _("no target service is set"), RULES)
    kinds = [str(kind) for kind in parameters["kinds"]]
    days = float(parameters["delivered_days"])
    rules = [
        rule
        for rule in Rule.objects.filter(enabled=True, kind__in=kinds).order_by("name")[:MAX_RULES]
        if fnmatchcase(target, rule.service_pattern) and rule.opens_incident
    ]
    missing = [kind for kind in kinds if kind not in {rule.kind for rule in rules}]
    if missing:
        labels = ", ".join(str(RuleKind(kind).label) if kind in RuleKind.values else kind for kind in missing)
        shown = _("no enabled rule that opens an incident of %(name)s: %(kinds)s")
        return Verdict(Outcome.FAIL, (shown % {"name": target, "kinds": labels})[:500], RULES)
    if not channels.is_any_set():
        return Verdict(Outcome.FAIL, _("the rules are there, but no channel is"), RULES)
    told = _delivered(rules, timezone.now() - timedelta(days=days))
    names = ", ".join(rule.name for rule in rules)
    if told is None:
        shown = _("armed (%(rules)s), but no message was delivered within %(days)g days; send a test message")
        return Verdict(Outcome.FAIL, (shown % {"rules": names, "days": days})[:500], RULES)
    what, at = told
    shown = _("armed: %(rules)s; %(what)s delivered at %(time)s")
    return Verdict(Outcome.PASS, (shown % {"rules": names, "what": what, "time": _clock(at)})[:500], RULES)


def _delivered(rules: Sequence[Rule], since: datetime) -> tuple[str, datetime] | None:
    """Return what was delivered since: a message of these rules, a test, or a self-test; the newest."""
    sent = Delivery.objects.filter(state=DeliveryState.SENT, delivered_at__gte=since)
    of_rules = Q()
    for rule in rules:
        of_rules |= Q(key__startswith=f"rule:{rule.pk}|")
    incidents = IncidentSignal.objects.filter(of_rules, opened_at__gte=since).values("incident")
    found: list[tuple[datetime, str]] = []
    for what, some in (
        (_("a message of these rules"), sent.filter(message__incident__in=incidents)),
        (_("a test message"), sent.filter(message__kind=NotificationKind.TEST)),
    ):
        newest = some.order_by("-delivered_at").values_list("delivered_at", flat=True).first()
        if newest is not None:
            found.append((newest, what))
    tested = SelfTest.objects.filter(state=SelfTestState.PASSED, ended_at__gte=since).order_by("-ended_at")
    if (last := tested.values_list("ended_at", flat=True).first()) is not None:
        found.append((last, _("a self-test")))
    if not found:
        return None
    at, what = max(found)
    return what, at


def _clock(moment: datetime) -> str:
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M %Z}"


def _kinds() -> list[tuple[str, Any]]:
    return list(RuleKind.choices)


def _probed() -> list[str]:
    endpoints = Endpoint.objects.filter(enabled=True).select_related("service").order_by("name")[:MAX_RULES]
    names = [name for one in endpoints for name in (one.service.name if one.service else "", one.name)]
    return list(dict.fromkeys(filter(None, names)))


def public_sockets() -> list[str]:
    """Return the WebSocket URLs that are probed from here: what a proxy verifier may be aimed at."""
    sockets = Endpoint.objects.filter(enabled=True, kind="websocket", prober=None).order_by("url")
    return list(sockets.values_list("url", flat=True).distinct()[:MAX_ENDPOINTS])


VERIFIERS = (
    Verifier(
        name="proxy.upgrade",
        label=gettext_lazy("Proxy passes WebSocket upgrades on"),
        help=gettext_lazy(
            "Passes when WebSocket handshakes through the proxy succeed, with and without a "
            "Connection header from the client. Without a ws:// or wss:// address as target, "
            "PUBLIC_URL is tried."
        ),
        check=upgrade,
        defaults={"path": "/ws", "timeout_s": 5.0},
        matches=(
            ("connection", "헤더"),
            ("connection", "header"),
            ("upgrade", "헤더"),
            ("upgrade", "header"),
            ("proxy_set_header",),
        ),
        parameters=(
            Parameter(
                name="path",
                label=gettext_lazy("path under the public URL"),
                help=gettext_lazy("Used unless the target is a ws:// or wss:// URL."),
            ),
            Parameter(name="timeout_s", label=gettext_lazy("timeout (s)"), kind="number", least=0.2, most=10),
        ),
        targets=public_sockets,
    ),
    Verifier(
        name="probe.green",
        label=gettext_lazy("Probes pass"),
        help=gettext_lazy(
            "Passes when every probe of the service passes, and did for that long. The target is the service."
        ),
        check=probes_green,
        defaults={"minutes": 10.0},
        matches=(("외부 접속",), ("probe", "green"), ("probe", "pass")),
        parameters=(
            Parameter(
                name="minutes",
                label=gettext_lazy("without a failure for (min)"),
                kind="number",
                least=1,
                most=1440,
            ),
        ),
        targets=_probed,
    ),
    Verifier(
        name="alert.armed",
        label=gettext_lazy("Alert rules are armed, and messages arrive"),
        help=gettext_lazy(
            "Passes when enabled rules of these kinds watch the service and a message was "
            "delivered within so many days. The target is the service."
        ),
        check=armed,
        defaults={"kinds": list(DEFAULT_KINDS), "delivered_days": 30.0},
        matches=(
            ("알림", "cpu"),
            ("알림", "메모리"),
            ("모니터링 알림",),
            ("alert", "cpu"),
            ("alert", "memory"),
        ),
        parameters=(
            Parameter(name="kinds", label=gettext_lazy("kinds of rules"), kind="choices", choices=_kinds),
            Parameter(
                name="delivered_days",
                label=gettext_lazy("a message delivered within (days)"),
                kind="number",
                least=1,
                most=365,
            ),
        ),
        targets=service_names,
    ),
)
