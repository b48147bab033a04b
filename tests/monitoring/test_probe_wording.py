"""Results of probes in Korean, and that no sentence of a probe is forgotten."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.utils import translation

from portal.monitoring.probes import wording
from portal.monitoring.probes.base import Target
from portal.monitoring.probes.run import PROBES
from portal.monitoring.probes.wording import in_words
from tests.monitoring.probe_servers import LOCAL
from tests.services import free_port

FOLDER = Path(wording.__file__).parent
#: Methods and functions whose first argument becomes a result.
TELLING = ("failed", "passed", "unknown", "Unresolved")
HANGUL = re.compile("[가-힣]")


def sentences() -> Iterator[str]:
    """Yield what probes tell, with 7 for each value; what is only passed on is left out."""
    for path in sorted(FOLDER.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            told = node.args[0]
            if name not in TELLING or not isinstance(told, ast.JoinedStr | ast.Constant):
                continue
            parts = told.values if isinstance(told, ast.JoinedStr) else [told]
            text = "".join(str(one.value) if isinstance(one, ast.Constant) else "7" for one in parts)
            if re.search("[a-z]{3}", text) and not text.startswith("7, but"):  # goes on after another one
                yield text


def test_every_sentence_of_a_probe_has_korean_words() -> None:
    found = sorted(set(sentences()))
    assert len(found) >= 15, found
    with translation.override("ko"):
        missing = [text for text in found if not HANGUL.search(in_words(text))]
    assert missing == []


@pytest.mark.parametrize(
    ("told", "korean"),
    [
        ("first frame after 12.5 ms", "첫 프레임 12.5 ms"),
        ("HTTP 200", "HTTP 200"),
        ("HTTP 503, expected 200: <b>down</b>", "HTTP 503, 200이어야 함: <b>down</b>"),
        (
            "refused: 10.0.0.7 is not a public address; list it in PROBE_ALLOW to probe it",
            "프로브하지 않음: 10.0.0.7은(는) 공인 주소가 아닙니다. 프로브하려면 PROBE_ALLOW에 추가하세요",
        ),
        (
            "closed before the first frame: connection lost without a close frame",
            "첫 프레임 전에 종료됨: 종료 프레임 없이 연결이 끊김",
        ),
        ("Server disconnected without sending a response.", "서버가 응답 없이 연결을 닫음"),
        ("closed: code 4001 bye", "종료됨: 코드 4001 bye"),
        (
            "this prober's own network does not answer; last result: [Errno 111] Connection refused",
            "이 프로버의 네트워크가 응답하지 않음, 마지막 결과: 연결 거부",
        ),
        (
            "certificate not trusted: self-signed certificate (expired on 2026-01-02 03:04 UTC)",
            "신뢰할 수 없는 인증서: self-signed certificate(2026-01-02 03:04 UTC에 만료됨)",
        ),
        ("what a target says in its own words %s", "what a target says in its own words %s"),
    ],
)
def test_results_in_korean(told: str, korean: str) -> None:
    with translation.override("ko"):
        assert in_words(told) == korean


def test_english_is_what_was_told_but_for_the_systems_own_words() -> None:
    with translation.override("en"):
        assert in_words("no frame within 5 s of the handshake") == "no frame within 5 s of the handshake"
        assert in_words("[Errno 111] Connection refused") == "connection refused"


@pytest.mark.parametrize("kind", ["http", "websocket", "tls", "tcp"])
def test_a_closed_port_is_told_in_korean(kind: str) -> None:
    scheme = {"http": "http", "websocket": "ws", "tls": "tls", "tcp": "tcp"}[kind]
    target = Target(url=f"{scheme}://127.0.0.1:{free_port()}", kind=kind, timeout_s=2.0)
    reading = PROBES[kind](target, LOCAL)
    with translation.override("ko"):
        assert in_words(reading.detail).endswith("연결 거부"), reading.detail


def test_nesting_ends() -> None:
    with translation.override("ko"):
        assert in_words("refused: " * 50 + "x").count("프로브하지 않음") == wording.DEPTH
