"""Without one source of evidence exactly its sentences go or say "no data"; every other one stays."""

from __future__ import annotations

import re

import pytest

from incidents.models import EvidenceKind
from incidents.reports.draft import draft
from incidents.reports.renderer import render
from tests.incidents.measured import PROBES, UPSTREAM
from tests.incidents.test_candidates import facts

SECTIONS = (
    *("status", "problems", "access", "causes", "code_problems", "commands", "fixes", "proxies"),
    *("long_term", "files", "checklist"),
)
#: For each source: the sentences that go with it, those that say less, and words no longer in the report.
#: The root cause names the health check after the retries, and the next candidate without them.
EXPECTED: dict[str, tuple[set[str], set[str], tuple[str, ...]]] = {
    "metrics": (
        {
            *("cause:direct:flood", "cause:secondary:cpu", "cause:secondary:memory", "fix:limits"),
            *("status:*", "status:api-gateway", "status:frontend"),
        },
        {"code:interval", "code:logging", "problem:log", "root_cause"},
        ("102.80", "10.23", "3.83", "3,642", "257"),
    ),
    "inspect": (set(), {"long:limits", "long:logs"}, ("now CPU", "now not set")),
    "health": (set(), {"problem:health"}, ("curl: (28)",)),
    "logs": (
        {
            *("cause:direct:failing", "cause:direct:retry", "code:interval", "code:limit", "code:logging"),
            *("fix:attempts", "fix:backoff", "fix:level", "item:attempts", "item:backoff", "item:level"),
        },
        {"long:breaker", "problem:log", "root_cause"},
        ("218,431", "99.1", UPSTREAM, "backoff", "Endless"),
    ),
    "probes": (
        {
            *(f"access:{one['name']}:{one['vantage']}:{one['url']}" for one in PROBES["endpoints"]),
            *("item:proxy", "proxy:upgrade"),
        },
        {"command:check", "problem:access"},
        ("502", "ralphpark", "public address", "upgrade"),
    ),
    # The seed's session was live: it is no part of the story, so nothing is said of it.
    "gateway": (set(), set(), ()),
}


def sentences(document):
    rows = {row.key: row for name in SECTIONS for row in getattr(document, name)}
    return {**rows, "root_cause": document.root_cause}


@pytest.mark.parametrize("kind", EXPECTED)
def test_exactly_its_sentences_go(kind):
    gone, less, words = EXPECTED[kind]
    full, without = draft(facts(), "en"), draft(facts(kind), "en")
    before, after = sentences(full), sentences(without)

    assert set(before) - set(after) == gone
    assert {key for key in set(before) & set(after) if before[key] != after[key]} == less
    shown, left = render(full, "detail"), render(without, "detail")
    assert all(word in shown for word in words)
    assert not [word for word in words if word in left]


@pytest.mark.parametrize("kind", EXPECTED)
@pytest.mark.parametrize("language", ["ko", "en"])
def test_no_number_appears_that_the_whole_evidence_did_not_show(kind, language):
    def numbers(document):
        return set(re.findall(r"\d[\d,.]*\d|\d", render(document)))

    assert numbers(draft(facts(kind), language)) <= numbers(draft(facts(), language))


def test_every_kind_of_evidence_is_looked_at():
    assert set(EXPECTED) >= {"metrics", "inspect", "health", "logs", "probes", "gateway"}
    assert {kind.value for kind in EvidenceKind} >= set(EXPECTED)


def test_no_row_cites_evidence_that_is_not_there():
    for number, kind in enumerate(("metrics", "inspect", "health", "logs", "probes", "gateway"), 1):
        cited = {getattr(row, "evidence", None) for row in sentences(draft(facts(kind), "en")).values()}
        assert number not in cited, kind
