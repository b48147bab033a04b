"""Root causes ranked by stated rules: each gives its points only where its evidence is there."""

from __future__ import annotations

from typing import Any

import pytest

from incidents.reports import fix_table
from incidents.reports.candidates import POINTS, Candidate, Kind, correlation, describe, rank
from incidents.reports.draft_causes import root_cause
from incidents.reports.facts import Facts, Source
from incidents.reports.words import Words
from tests.incidents.conftest import NOW
from tests.incidents.measured import BUNDLES, HEALTH, METRICS, PROBES, endpoint

ORDER = {kind: number for number, kind in enumerate(BUNDLES, 1)}


def facts(*left_out: str, **changes: Any) -> Facts:
    """The seed's evidence, numbered from 1, but for ``left_out``."""
    sources = tuple(
        Source(kind.value, subject, {**data, **changes.get(kind.value, {})}, ORDER[kind])
        for kind, (subject, data) in BUNDLES.items()
        if kind.value not in left_out
    )
    return Facts(title="t", slug="t", service="api-gateway", analysed_at=NOW, sources=sources)


def history(*rows: tuple[float, float, int]) -> dict[str, Any]:
    names = ("cpu_percent", "log_lines_per_s", "failing_streak")
    return {"series": [dict(zip(names, row, strict=True)) for row in rows]}


STORM = history((3, 1, 0), (60, 900, 0), (101, 3600, 0), (102, 3700, 1), (103, 3650, 2), (102, 3600, 3))


def test_the_seed_s_retry_storm_leads_and_says_why():
    first, *rest = rank(facts(metrics=STORM))

    assert first.kind is Kind.RETRY
    given = {reason.rule: reason.points for reason in first.reasons}
    assert set(given) == {"template", "flood", "cpu_beside", "correlation", "before_health", "streak_beside"}
    assert given["template"] == pytest.approx(POINTS["template"] * 0.99, abs=0.1)
    assert first.score == pytest.approx(sum(given.values()))
    assert [one.kind for one in rest][:2] == [Kind.MEMORY, Kind.CPU]
    words = [describe(reason, Words("ko")) for reason in first.reasons]
    assert "재시도 메시지가 로그의 99.1%" in words[0]
    assert any("상관계수 0.9" in word for word in words)


@pytest.mark.parametrize("language", ["ko", "en"])
def test_every_reason_has_its_sentence_and_its_evidence(language):
    seen = set()
    lost = {"slots": [{"slot": "api-gateway", "feed": "reconnecting", "attempts_count": 14}]}
    down = {
        "endpoints": [{**one, "ok": False} for one in PROBES["endpoints"]]
        + [endpoint("http", "host", "http://h/", False, "refused", None)]
    }
    worlds = [
        facts(metrics=STORM, gateway=lost),
        facts(metrics={**STORM, "exit_code": 137, "state": "exited", "log_lines_per_s": 50.0}, probes=down),
        facts(logs={"templates": [{"template": "out of memory", "count": 1, "share": 1.0}]}),
        facts("logs", metrics={"failing_streak": 0}, health={"status": "healthy", "failing_streak": 0}),
    ]
    for world in worlds:
        for candidate in rank(world):
            for reason in candidate.reasons:
                assert describe(reason, Words(language))
                assert reason.evidence in ORDER.values()
                seen.add(reason.rule)

    assert seen == set(POINTS)


@pytest.mark.parametrize(
    ("left_out", "gone"),
    [
        ("logs", {Kind.RETRY}),
        ("metrics", {Kind.MEMORY, Kind.CPU}),
        ("probes", {Kind.PROXY, Kind.PROBE}),
    ],
)
def test_without_a_source_its_candidates_are_gone(left_out, gone):
    full = {one.kind: one.score for one in rank(facts())}
    less = {one.kind: one.score for one in rank(facts(left_out))}

    assert set(full) - set(less) == gone
    assert all(score <= full[kind] for kind, score in less.items())


def test_a_proxy_that_fails_before_a_healthy_service_leads():
    calm = {**METRICS, "cpu_percent": 2.0, "memory_bytes": 1, "failing_streak": 0, "health": "healthy"}
    well = {**HEALTH, "status": "healthy", "failing_streak": 0}

    first = rank(facts("logs", metrics=calm, health=well))[0]

    assert first.kind is Kind.PROXY
    assert {reason.rule for reason in first.reasons} == {"proxy_blamed", "healthy_behind"}


def test_equal_or_too_few_readings_correlate_nothing():
    assert correlation(facts(metrics=history(*[(1, 1, 0)] * 9))) is None
    assert correlation(facts(metrics=history((1, 1, 0), (2, 2, 0)))) is None
    assert correlation(facts("metrics")) is None


def test_a_sign_that_came_after_the_failed_check_is_not_said_to_be_before_it():
    late = history((3, 1, 1), (60, 900, 2), (101, 3600, 3))

    first = rank(facts(metrics=late))[0]

    assert "before_health" not in {reason.rule for reason in first.reasons}


@pytest.mark.parametrize("language", ["ko", "en"])
def test_every_cause_suggests_fixes_with_a_priority(language):
    for kind in Kind:
        rows = fix_table.suggestions(kind, facts(), Words(language))
        assert rows
        assert all(row.file and row.change and row.priority in ("P0", "P1") for row in rows)
    assert {key for kind in Kind for key, *_rest in fix_table.SUGGESTIONS[kind]}


@pytest.mark.parametrize(
    ("used", "effect"),
    [
        ({"cpu_percent": 0.7, "memory_bytes": 516 * 1024, "memory_limit_bytes": 2**28}, ""),
        ({"cpu_percent": 100.0, "memory_bytes": 516 * 1024, "memory_limit_bytes": 2**28}, "CPU 100.00%"),
    ],
)
def test_a_failing_health_check_names_as_its_effect_only_what_is_much(used, effect):
    line = root_cause(facts("logs", "probes", metrics=used), Words("ko"), Candidate(Kind.HEALTH, ()))

    assert line.split(" → ")[1:] == ([f"api-gateway {effect} 사용"] if effect else [])
