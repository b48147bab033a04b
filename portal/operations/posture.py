"""The posture of everything watched, the measures made of it, and the verifiers that look again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from typing import Any

from django.conf import settings
from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from incidents import channels, checklist
from incidents.models import ChecklistItem, ItemState, Outcome
from incidents.registry import Parameter, Verdict, Verifier
from portal.monitoring.models import Endpoint, Rule, RuleKind, RunState, RuntimeKind, Service
from portal.monitoring.posture import BY_KEY, CHECKS, Check, Container, answers
from portal.operations.verifiers import METHOD, container_names, running

#: Containers and rules that are looked at; more are not watched.
MAX_CONTAINERS = 500
MAX_RULES = 500
RULE, CHANNEL = "rule_matches", "channel"
PREFIX = "posture:"
#: Kinds of rules that look at endpoints.
OF_ENDPOINTS = frozenset({RuleKind.PROBE.value, "tls", "latency"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to do: what was seen of ``target``, how to mend it, and its measure when there is one."""

    check: str
    target: str
    seen: str
    fix: str
    wording: str | Promise
    verifier: str
    parameters: Mapping[str, object]
    item: ChecklistItem | None = None

    @property
    def measure(self) -> str:
        """The measure in the active language."""
        return str(self.wording) % {"name": self.target}


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One question, and how many of all answer it well."""

    key: str
    title: str | Promise
    good: str | Promise
    why: str | Promise
    findings: tuple[Finding, ...]
    good_names: tuple[str, ...]

    @property
    def asked(self) -> int:
        """Number of things that were asked."""
        return len(self.findings) + len(self.good_names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Posture:
    """All sections, and the names of containers about which nothing is known now."""

    sections: tuple[Section, ...]
    unknown: tuple[str, ...]


def read() -> Posture:
    """Return the posture from the latest sweep: six queries."""
    services = Service.objects.filter(runtime=RuntimeKind.DOCKER, enabled=True).select_related("state")
    known, unknown = [], []
    for service in services.order_by("name")[:MAX_CONTAINERS]:
        state = getattr(service, "state", None)
        if state is not None and state.state in (RunState.GONE, RunState.EXITED):
            continue
        if state is None or state.state == RunState.UNKNOWN or not state.inspect:
            unknown.append(service.name)
            continue
        known.append(
            Container(
                name=service.name,
                config=state.inspect,
                restarts=state.restart_count,
                memory_bytes=state.memory_bytes,
            )
        )
    items = ChecklistItem.objects.filter(report=None, draft_key__startswith=PREFIX)
    by_key = {item.draft_key: item for item in items}
    sections = [*_containers(tuple(known), by_key), _rules(by_key), _channel(by_key)]
    return Posture(sections=tuple(sections), unknown=tuple(unknown))


def key_of(check: str, target: str) -> str:
    """Return the key under which a finding has at most one measure."""
    key = f"{PREFIX}{check}:{target}"
    return key if len(key) <= 100 else f"{PREFIX}{check}:{hashlib.sha256(target.encode()).hexdigest()[:40]}"


def _containers(known: tuple[Container, ...], items: Mapping[str, ChecklistItem]) -> list[Section]:
    return [
        Section(
            key=answer.check.key,
            title=answer.check.title,
            good=answer.check.good,
            why=answer.check.why,
            findings=tuple(_finding(answer.check, one, items) for one in answer.bad),
            good_names=tuple(one.name for one in answer.good),
        )
        for answer in answers(known)
    ]


def _finding(check: Check, one: Container, items: Mapping[str, ChecklistItem]) -> Finding:
    return Finding(
        check=check.key,
        target=one.name,
        seen=check.seen(one),
        fix=check.fix(one),
        wording=check.measure,
        verifier="posture.container",
        parameters={"check": check.key},
        item=items.get(key_of(check.key, one.name)),
    )


def _rules(items: Mapping[str, ChecklistItem]) -> Section:
    bad: list[Rule] = []
    good: list[Rule] = []
    names = _names()
    for rule in Rule.objects.filter(enabled=True).order_by("name")[:MAX_RULES]:
        (good if _matches(rule, names) else bad).append(rule)
    findings = [
        Finding(
            check=RULE,
            target=rule.name,
            seen=f"{rule.kind}: {rule.service_pattern}",
            fix=_("Correct its pattern of services in the administration, or switch the rule off."),
            wording=gettext_lazy("Let rule %(name)s match a service, or switch it off"),
            verifier="posture.rule",
            parameters={},
            item=items.get(key_of(RULE, rule.name)),
        )
        for rule in bad
    ]
    return Section(
        key=RULE,
        title=gettext_lazy("Alert rules"),
        good=gettext_lazy("match something"),
        why=gettext_lazy("A rule whose pattern matches nothing watches nothing, and looks as if it did."),
        findings=tuple(findings),
        good_names=tuple(rule.name for rule in good),
    )


def _names() -> tuple[set[str], set[str]]:
    """Return the names that rules of endpoints look at, and those that all others do: two queries."""
    endpoints = Endpoint.objects.filter(enabled=True).select_related("service")
    names = {one.service.name if one.service else one.name for one in endpoints[:MAX_CONTAINERS]}
    watched = Service.objects.filter(enabled=True).exclude(state__state=RunState.GONE)
    others = set(watched.values_list("name", flat=True)[:MAX_CONTAINERS])
    others |= {key.slot for key in settings.GATEWAY_UPSTREAM.keys}
    others |= {str(kind.label) for kind in RuntimeKind}
    return names, others


def _matches(rule: Rule, names: tuple[set[str], set[str]]) -> bool:
    """Whether something that the rule's kind looks at fits its pattern."""
    of_endpoints, others = names
    looked_at = of_endpoints if rule.kind in OF_ENDPOINTS else others
    return any(fnmatchcase(name, rule.service_pattern) for name in looked_at)


def _channel(items: Mapping[str, ChecklistItem]) -> Section:
    found = channels.is_any_set()
    finding = Finding(
        check=CHANNEL,
        target="",
        seen="NOTIFY_URLS: -",
        fix="NOTIFY_URLS=tgram://BOT_TOKEN/CHAT_ID",
        wording=gettext_lazy("Set a notification channel and test it"),
        verifier="posture.channel",
        parameters={},
        item=items.get(key_of(CHANNEL, "")),
    )
    return Section(
        key=CHANNEL,
        title=gettext_lazy("Notification channel"),
        good=gettext_lazy("is set"),
        why=gettext_lazy("Without a channel nobody is told about an incident."),
        findings=() if found else (finding,),
        good_names=(_("A channel"),) if found else (),
    )


def add_measure(check: str, target: str, *, today: date) -> tuple[ChecklistItem, bool] | None:
    """Make a measure of a finding; the second value is False when it has one. ``None``: nothing is found."""
    for section in read().sections:
        for one in section.findings if section.key == check else ():
            if one.target == target:
                # What is stored is in the installation's language, whoever presses the button.
                with translation.override(settings.LANGUAGE_CODE):
                    text = one.measure
                return checklist.add_standing(
                    key=key_of(check, target),
                    text=text,
                    verifier=one.verifier,
                    target=one.target,
                    parameters=one.parameters,
                    today=today,
                )
    return None


def is_done(item: ChecklistItem) -> bool:
    """Whether nothing has to be done about a measure now."""
    return item.state in (ItemState.VERIFIED, ItemState.WAIVED)


def check_container(target: str, parameters: Mapping[str, Any]) -> Verdict:
    """Ask one check of the running container ``target``."""
    check = BY_KEY.get(str(parameters.get("check")))
    if check is None:
        keys = ", ".join(one.key for one in CHECKS)
        return Verdict(
            Outcome.UNKNOWN, _("the parameter check must be one of: %(keys)s") % {"keys": keys}, ""
        )
    seen = running(target)
    if isinstance(seen, Verdict):
        return seen
    one = Container(name=target, config=seen.config, restarts=seen.restart_count)
    verdict = check.ask(one)
    if verdict is None:
        return Verdict(Outcome.UNKNOWN, _("it does not apply to this container"), METHOD)
    shown = f"{check.key}: ok" if verdict else check.seen(one)
    return Verdict(Outcome.PASS if verdict else Outcome.FAIL, shown, METHOD)


def _questions() -> list[tuple[str, Any]]:
    return [(check.key, check.title) for check in CHECKS]


def _rule_names() -> list[str]:
    return list(Rule.objects.order_by("name").values_list("name", flat=True)[:MAX_RULES])


def check_rule(target: str, _parameters: Mapping[str, Any]) -> Verdict:
    """Check that the rule named ``target`` matches something; one that is off or gone harms nobody."""
    rule = Rule.objects.filter(name=target, enabled=True).first()
    if rule is None:
        return Verdict(Outcome.PASS, _("there is no such enabled rule"), "rules")
    good = _matches(rule, _names())
    return Verdict(Outcome.PASS if good else Outcome.FAIL, rule.service_pattern, "rules")


def check_channel(_target: str, _parameters: Mapping[str, Any]) -> Verdict:
    """Check that a notification channel is set."""
    if channels.is_any_set():
        return Verdict(Outcome.PASS, _("a channel is set"), "NOTIFY_URLS")
    return Verdict(Outcome.FAIL, _("no channel"), "NOTIFY_URLS")


VERIFIERS = (
    Verifier(
        name="posture.container",
        label=gettext_lazy("Running configuration of a container"),
        help=gettext_lazy(
            "Passes when the running container is configured as the posture page asks. The target "
            "is the container."
        ),
        check=check_container,
        defaults={"check": "memory_limit"},
        parameters=(
            Parameter(name="check", label=gettext_lazy("what is asked"), kind="choice", choices=_questions),
        ),
        targets=container_names,
    ),
    Verifier(
        name="posture.rule",
        label=gettext_lazy("Alert rule matches something"),
        help=gettext_lazy(
            "Passes when the enabled rule matches something that is watched. The target is the rule."
        ),
        check=check_rule,
        targets=_rule_names,
    ),
    Verifier(
        name="posture.channel",
        label=gettext_lazy("Notification channel is set"),
        help=gettext_lazy("Passes when a channel for messages is set. It needs no target."),
        check=check_channel,
    ),
)
