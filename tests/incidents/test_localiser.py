"""Sixteen patterns of answering vantages, one sentence each; what passed is never blamed."""

from __future__ import annotations

from itertools import product

import pytest

from incidents.reports.localiser import FINDINGS, PATHS, VANTAGES, Hop, findings, locate, passed

#: Pattern of (inside, host, public, domain), whom it blames, and a word of each sentence that says so.
EXPECTED = [
    ("1111", set(), "모든 지점", "Every vantage"),
    ("1110", {Hop.PROXY}, "리버스 프록시", "reverse proxy"),
    ("1101", {Hop.LINE}, "방화벽", "firewall"),
    ("1100", {Hop.LINE}, "회선", "line"),
    ("1011", {Hop.HOST_PROBE}, "호스트에서 확인할 때만", "Only the check on the host"),
    ("1010", {Hop.HOST_PROBE, Hop.PROXY}, "따로", "separately"),
    ("1001", {Hop.PORT}, "공개한 포트", "port published"),
    ("1000", {Hop.PORT}, "바인드 주소", "binds"),
    ("0111", {Hop.INSIDE_PROBE}, "내부에서 확인할 때만", "Only the check inside"),
    ("0110", {Hop.INSIDE_PROBE, Hop.PROXY}, "리버스 프록시", "reverse proxy"),
    ("0101", {Hop.INSIDE_PROBE, Hop.LINE}, "포트 포워딩", "port forwarding"),
    ("0100", {Hop.INSIDE_PROBE, Hop.LINE}, "호스트에서만", "only on the host"),
    ("0011", {Hop.INSIDE_PROBE, Hop.HOST_PROBE}, "영향이 없으며", "not affected"),
    ("0010", {Hop.INSIDE_PROBE, Hop.HOST_PROBE, Hop.PROXY}, "공인 IP에서만", "Only the public address"),
    ("0001", {Hop.PORT, Hop.INSIDE_PROBE}, "캐시", "cache"),
    ("0000", {Hop.SERVICE}, "서비스 자체", "service itself"),
]


def answers(pattern):
    return {name: mark == "1" for name, mark in zip(VANTAGES, pattern, strict=True) if mark in "01"}


@pytest.mark.parametrize(("pattern", "blamed", "korean", "english"), EXPECTED)
def test_each_pattern_gives_its_one_sentence(pattern, blamed, korean, english):
    found = FINDINGS[pattern]

    assert set(found.blamed) == blamed
    assert korean in found.ko
    assert english in found.en
    assert locate(answers(pattern)) == (None if pattern == "1111" else found)


def test_there_are_sixteen_different_sentences():
    assert {one for one, *_rest in EXPECTED} == set(FINDINGS)
    assert len({found.ko for found in FINDINGS.values()}) == 16
    assert len({found.en for found in FINDINGS.values()}) == 16


@pytest.mark.parametrize("pattern", ["".join(marks) for marks in product("01?", repeat=4)])
def test_no_hop_that_passed_is_blamed_whatever_was_measured(pattern):
    seen = answers(pattern)
    found = locate(seen)

    if found is None:
        assert all(seen.values())
        return
    assert not set(found.blamed) & passed(seen)
    if "?" not in pattern:
        assert found.blamed, "something failed, so something is named"


def test_an_unmeasured_vantage_is_no_failure():
    assert locate(answers("1?10")) == FINDINGS["1110"], "what the public address passes, the host passes"
    open_ = locate(answers("1??0"))
    assert open_ is not None
    assert open_.blamed == ()
    assert "호스트, 공인 IP" in open_.ko
    assert "host, public address" in open_.en
    assert locate({}) is None


def probe(kind, vantage, ok):
    return {"kind": kind, "vantage": vantage, "ok": ok}


def test_the_seed_s_matrix_points_at_the_proxy_once():
    matrix = [
        probe("http", "inside", True),
        probe("http", "public", True),
        probe("http", "domain", False),
        probe("websocket", "domain", False),
    ]

    assert findings(matrix) == (FINDINGS["1110"],)


def test_an_upgrade_that_fails_where_http_passes_is_said_of_the_websocket_alone():
    matrix = [probe("http", name, True) for name in PATHS] + [probe("websocket", "domain", False)]

    (found,) = findings(matrix)
    assert found.blamed == (Hop.PROXY,)
    assert found.en.startswith("WebSocket: ")


def test_unknown_results_and_strange_vantages_say_nothing():
    assert findings([probe("http", "moon", False), probe("http", "inside", None), {}]) == ()
