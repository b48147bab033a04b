"""The HTML of a report says for each cell where it comes from, in words, with a link to the evidence."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from incidents import reports
from incidents.models import EvidenceKind, Provenance
from incidents.reports.drafting import draft_report
from incidents.reports.export import render_page, with_origins
from tests.incidents.conftest import after, fire
from tests.incidents.measured import freeze

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("korean")]


class Cells(HTMLParser):
    """Collects the text and the tags of each table cell, list item and bold line."""

    def __init__(self, html):
        super().__init__()
        self.found: list[list[str]] = []
        self.attributes: list[str] = []
        self._open = False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.attributes += [value or "" for _name, value in attrs]
        if tag in ("td", "li", "strong"):
            self.found.append([""])
        if tag == "sup" and self.found:
            self.found[-1].append(dict(attrs).get("title", ""))

    def handle_data(self, data):
        if self.found:
            self.found[-1][0] += data


@pytest.fixture
def incident():
    return fire().incident


def shown(incident, language="ko"):
    return with_origins(incident, "summary", language, lambda pk: f"/evidence/{pk}")


def test_every_cell_names_its_origin_and_links_its_evidence(incident):
    frozen = freeze(incident)
    draft_report(incident=incident, now=after(20))

    html = shown(incident)

    cells = {cell[0].split("측정")[0].split("추정")[0].strip(): cell[1:] for cell in Cells(html).found}
    metrics, probes = frozen["metrics"].pk, frozen["probes"].pk
    assert cells["3.83%"][0].startswith("측정: ")
    assert f'<a href="/evidence/{metrics}"' in html
    assert f"측정 E{metrics}" in html
    assert f"측정 E{probes}" in html
    assert cells["🟢 Healthy"][0].startswith("추정"), "a state is concluded"
    assert "1s → 2s → 4s → ... (≤60s)" in cells
    assert cells["1s → 2s → 4s → ... (≤60s)"][0].startswith("추정"), "what would be right is no measurement"
    assert re.search(r"<strong>102.80%</strong> <sup", html)
    rows = re.findall(r"<td>(.*?)</td>", html)
    assert rows
    assert all('class="p-origin' in row for row in rows if not re.fullmatch("P[0-3]", row))
    assert all(word in html for word in ("수집한 증거의 값", "규칙으로 얻은 결론", "사람이 쓴 내용"))


def test_a_person_s_row_says_so(incident):
    freeze(incident)
    report = draft_report(incident=incident, now=after(20))
    row = report.causerow_set.all()[0]
    row.text, row.provenance = "백오프가 꺼져 있었다", Provenance.PERSON
    row.save()

    assert re.search(r"백오프가 꺼져 있었다 <sup class=\"p-origin is-person\"", shown(incident))


@pytest.mark.parametrize("language", ["ko", "en"])
def test_the_exported_page_lists_the_evidence_that_its_tags_link_to(incident, language):
    freeze(incident)
    draft_report(incident=incident, now=after(20))

    html = render_page(incident, "detail", language)

    targets = set(re.findall(r'href="#(E\d+)"', html))
    assert targets
    assert targets <= set(re.findall(r'<li id="(E\d+)"', html))
    assert "\ue000" not in html
    assert "KST" in html
    assert "bonghwa:generated" not in html


def test_without_evidence_nothing_is_linked(incident):
    freeze(incident, *EvidenceKind)
    draft_report(incident=incident, now=after(20))

    assert "href=" not in shown(incident)


def test_marks_in_a_person_s_text_neither_lie_nor_break_out(incident):
    freeze(incident)
    report = draft_report(incident=incident, now=after(20))
    lie = "\ue000m1\ue001"
    for number, text in enumerate(
        (
            f"a{lie}b",
            '[x](http://a/ "t\n onmouseover=alert(1) t2")',
            f'[x](http://a/ "{lie}")',
            "```\ncode\n```",
        )
    ):
        report.longtermitem_set.create(text=text, order=100 + number)
    incident.timeline.create(at=after(30), kind="note", text=f'[n](http://a/ "{lie}")', starred=True)

    html = shown(incident) + render_page(incident, "detail", "ko")

    assert "am1b <sup" in html
    titles = [value for value in Cells(html).attributes if "onmouseover" in value]
    assert not [value for value in titles if "<sup" in value]
    assert not re.search(r"<[a-z]+[^>\"]*\sonmouseover", html)
    assert "\ue000" not in html


def test_markdown_and_json_carry_no_mark(incident):
    freeze(incident)
    draft_report(incident=incident, now=after(20))

    for fmt in ("md", "json"):
        assert "\ue000" not in reports.render(incident, "summary", fmt, "ko")
