"""Where the fault is, from which vantages answer: one sentence a pattern, and no hop that passed is blamed.

A vantage proves every hop on its way when it answers: ``inside`` the service, ``host`` also its port,
``public`` also the way in from outside, ``domain`` the reverse proxy in front of the service. A vantage
that nobody measured is never taken for failing; where that leaves more than one reading, the sentence says
what is missing instead of choosing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import Any

#: Vantages in the order of a pattern: ``1110`` means that only the domain fails.
VANTAGES = ("inside", "host", "public", "domain")


class Hop(StrEnum):
    """What a request passes, or the place that a probe itself stands at."""

    SERVICE = "service"
    PORT = "port"
    LINE = "line"
    PROXY = "proxy"
    INSIDE_PROBE = "inside probe"
    HOST_PROBE = "host probe"
    PUBLIC_ADDRESS = "public address"


PATHS: Mapping[str, frozenset[Hop]] = {
    "inside": frozenset({Hop.SERVICE}),
    "host": frozenset({Hop.SERVICE, Hop.PORT}),
    "public": frozenset({Hop.SERVICE, Hop.PORT, Hop.LINE}),
    "domain": frozenset({Hop.SERVICE, Hop.PROXY}),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one pattern means: the hops under suspicion and the sentence in both languages."""

    blamed: tuple[Hop, ...]
    ko: str
    en: str


_I, _H, _P = Hop.INSIDE_PROBE, Hop.HOST_PROBE, Hop.PUBLIC_ADDRESS
FINDINGS: Mapping[str, Finding] = {
    "1111": Finding((), "모든 지점에서 응답합니다.", "Every vantage answers."),
    "1110": Finding(
        (Hop.PROXY,),
        "공인 IP까지 정상이고 도메인만 실패합니다. 리버스 프록시, TLS 또는 DNS 구간을 확인하세요.",
        "Up to the public address it answers and only the domain fails: look at the reverse proxy, TLS or"
        " DNS.",
    ),
    "1101": Finding(
        (Hop.LINE,),
        "도메인은 정상이고 공인 IP 직접 접속만 실패합니다. 방화벽이나 포트 포워딩을 확인하세요.",
        "The domain answers and only the public address fails: look at the firewall or the port forwarding.",
    ),
    "1100": Finding(
        (Hop.LINE,),
        "호스트까지 정상이고 밖에서 오는 접속이 모두 실패합니다. 회선, 방화벽 또는 공유기를 확인하세요.",
        "Up to the host it answers and nothing from outside gets in: look at the line, the firewall or the"
        " router.",
    ),
    "1011": Finding(
        (_H,),
        "호스트에서 확인할 때만 실패합니다. 외부 사용자는 영향이 없으며 호스트의 확인 주소를 점검하세요.",
        "Only the check on the host fails; users are not affected: check the address that it uses.",
    ),
    "1010": Finding(
        (_H, Hop.PROXY),
        "공인 IP는 정상입니다. 도메인은 리버스 프록시·TLS·DNS 구간을, 호스트는 확인 주소를 따로 점검하세요.",
        "The public address answers: for the domain look at the reverse proxy, TLS or DNS; for the host,"
        " separately, at the address that its check uses.",
    ),
    "1001": Finding(
        (Hop.PORT,),
        "내부와 도메인은 정상이고 호스트와 공인 IP만 실패합니다. 호스트에 공개한 포트를 확인하세요.",
        "Inside and the domain answer, the host and the public address fail: look at the port published on"
        " the host.",
    ),
    "1000": Finding(
        (Hop.PORT,),
        "서비스 안에서만 응답합니다. 호스트로 나가는 포트 공개나 바인드 주소를 확인하세요.",
        "It answers only inside: look at the published port or the address that it binds.",
    ),
    "0111": Finding(
        (_I,),
        "내부에서 확인할 때만 실패합니다. 서비스는 정상이며 내부 확인 주소를 점검하세요.",
        "Only the check inside fails; the service answers everybody else: check the address that it uses.",
    ),
    "0110": Finding(
        (_I, Hop.PROXY),
        "호스트와 공인 IP는 정상입니다. 도메인은 리버스 프록시·TLS·DNS 구간을, 내부는 확인 주소를 따로"
        " 점검하세요.",
        "The host and the public address answer: for the domain look at the reverse proxy, TLS or DNS; for"
        " inside, separately, at the address that its check uses.",
    ),
    "0101": Finding(
        (_I, Hop.LINE),
        "호스트와 도메인은 정상입니다. 공인 IP는 방화벽이나 포트 포워딩을, 내부는 확인 주소를 따로"
        " 점검하세요.",
        "The host and the domain answer: for the public address look at the firewall or the port forwarding;"
        " for inside, separately, at the address that its check uses.",
    ),
    "0100": Finding(
        (_I, Hop.LINE),
        "호스트에서만 응답합니다. 밖에서 오는 회선·방화벽·공유기를, 내부는 확인 주소를 따로 점검하세요.",
        "It answers only on the host: look at the line, the firewall or the router; for inside, separately,"
        " at the address that its check uses.",
    ),
    "0011": Finding(
        (_I, _H),
        "밖에서는 정상이고 내부와 호스트의 확인만 실패합니다. 외부 사용자는 영향이 없으며 두 확인 주소를"
        " 점검하세요.",
        "From outside it answers and only the checks inside and on the host fail; users are not affected:"
        " check the addresses that they use.",
    ),
    "0010": Finding(
        (_I, _H, Hop.PROXY),
        "공인 IP에서만 응답합니다. 도메인은 리버스 프록시·TLS·DNS 구간을, 내부와 호스트는 확인 주소를 따로"
        " 점검하세요.",
        "Only the public address answers: for the domain look at the reverse proxy, TLS or DNS; for inside"
        " and the host, separately, at the addresses that their checks use.",
    ),
    "0001": Finding(
        (Hop.PORT, _I),
        "도메인에서만 응답합니다. 호스트에 공개한 포트와 내부 확인 주소를 점검하고, 도메인의 응답이 캐시나"
        " 다른 서버에서 오는지 확인하세요.",
        "Only the domain answers: look at the port published on the host and the address of the check inside,"
        " and whether the domain's answer comes from a cache or another server.",
    ),
    "0000": Finding(
        (Hop.SERVICE,),
        "어느 지점에서도 응답하지 않습니다. 서비스 자체를 확인하세요.",
        "No vantage answers: look at the service itself.",
    ),
}
_NAMES: Mapping[str, tuple[str, str]] = {
    "inside": ("내부", "inside"),
    "host": ("호스트", "host"),
    "public": ("공인 IP", "public address"),
    "domain": ("도메인", "domain"),
}
#: Kinds of probes that pass the same hops in the same way; an upgrade may fail where plain HTTP passes.
_FAMILIES: tuple[tuple[str, frozenset[str]], ...] = (
    ("HTTP", frozenset({"http", "tcp", "tls"})),
    ("WebSocket", frozenset({"websocket"})),
)


def passed(answers: Mapping[str, bool]) -> frozenset[Hop]:
    """Return the hops that the answering vantages prove."""
    return frozenset(hop for name, ok in answers.items() if ok for hop in PATHS[name])


def locate(answers: Mapping[str, bool], proven: frozenset[Hop] = frozenset()) -> Finding | None:
    """Return what the measured vantages mean; None when none of them fails.

    ``proven`` are hops known to pass from elsewhere. A vantage that was not measured counts as answering
    where every hop on its way is proven; otherwise every reading must agree, or the finding blames nothing.
    """
    known = {name: answers[name] for name in VANTAGES if name in answers}
    if all(known.values()):
        return None
    good = passed(known) | proven
    for name in VANTAGES:
        if name not in known and good >= PATHS[name]:
            known[name] = True
    readings = {FINDINGS[pattern] for pattern in _patterns(known)}
    return readings.pop() if len(readings) == 1 else _undecided(known)


def findings(endpoints: Iterable[Mapping[str, Any]]) -> tuple[Finding, ...]:
    """Return what a probe matrix says, plain HTTP first and WebSocket only where it says something else.

    A vantage answers when any of its endpoints does, so that a hop which passed is never blamed.
    """
    listed = list(endpoints)
    found: list[Finding] = []
    proven: frozenset[Hop] = frozenset()
    for family, kinds in _FAMILIES:
        answers = _answers(one for one in listed if one.get("kind") in kinds)
        # What HTTP passes is open to an upgrade as well, but for the proxy, which must forward it.
        one = locate(answers, proven - {Hop.PROXY})
        proven |= passed(answers)
        if one is not None and one not in found:
            found.append(_only(family, one) if family == "WebSocket" and Hop.PROXY in proven else one)
    return tuple(found)


def _answers(endpoints: Iterable[Mapping[str, Any]]) -> dict[str, bool]:
    answers: dict[str, bool] = {}
    for one in endpoints:
        name, ok = str(one.get("vantage")), one.get("ok")
        if name in PATHS and isinstance(ok, bool):
            answers[name] = answers.get(name, False) or ok
    return answers


def _patterns(known: Mapping[str, bool]) -> Iterator[str]:
    choices = [(known[name],) if name in known else (True, False) for name in VANTAGES]
    for reading in product(*choices):
        yield "".join("1" if ok else "0" for ok in reading)


def _only(family: str, finding: Finding) -> Finding:
    return Finding(finding.blamed, f"{family}: {finding.ko}", f"{family}: {finding.en}")


def _undecided(known: Mapping[str, bool]) -> Finding:
    def names(language: int, wanted: bool | None) -> str:
        return ", ".join(_NAMES[name][language] for name in VANTAGES if known.get(name) is wanted)

    failing, open_ = (names(0, False), names(1, False)), (names(0, None), names(1, None))
    good = (names(0, True) or "없음", names(1, True) or "none")
    return Finding(
        (),
        f"응답: {good[0]}, 실패: {failing[0]}. 측정하지 않은 지점({open_[0]})이 있어 구간을 특정할 수"
        " 없습니다.",
        f"Answering: {good[1]}; failing: {failing[1]}. Not measured: {open_[1]}, so the place stays open.",
    )
