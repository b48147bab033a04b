"""What a message says: rule, value, limit, since when, last lines, link; and that nothing hostile acts."""

from __future__ import annotations

import pytest
from apprise import NotifyFormat
from apprise.conversion.format import convert_between
from markdown_it import MarkdownIt

from incidents import outbox, services
from incidents.evidence import keep
from incidents.inert import inert, one_line
from incidents.lines import evidence_lines
from incidents.models import EvidenceKind, Notification, NotificationKind
from incidents.registry import Captured
from tests.incidents.conftest import FINGERPRINT, NOW, after, fire

HOSTILE = (
    "<script>alert(1)</script>",
    "<!channel> @everyone <@U123>",
    "[click](https://evil.example/x) ![i](http://evil.example/p.png)",
    "**bold** `code` ~~gone~~ | a | b |\n# heading",
    '<a href="http://evil.example">ok</a> &lt;b&gt;',
    "\x1b[31mred\x1b[0m\u202eesrever\x00",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_acts_in_no_format(text):
    shown = inert(text)

    assert not set(shown) & set("<>[]`*~|@#&\\\x1b\u202e\x00\n")
    assert "http" not in shown
    html = convert_between(NotifyFormat.TEXT, NotifyFormat.HTML, shown)
    assert "<" not in html.replace("<br/>", "")
    rendered = MarkdownIt("gfm-like", {"linkify": False}).render(shown)
    assert rendered.strip() == f"<p>{shown}</p>".replace('"', "&quot;")


def test_a_line_is_masked_and_cut():
    assert one_line("token=abcdef0123456789 x", 100) == "token=*** x"
    assert len(one_line("x" * 10**6, 50)) == 50


def messages(kind):
    found = Notification.objects.get(kind=kind)
    return found.content


def freeze_log(incident, tail):
    keep(
        incident=incident,
        bundle=Captured(kind=EvidenceKind.LOGS, subject="api-gateway", data={"tail": tail, "templates": []}),
        at=after(5),
    )


@pytest.mark.django_db
def test_an_opening_message_names_rule_value_limit_and_the_last_three_lines(settings):
    settings.PUBLIC_URL = "https://ops.example"
    detail = {"rule": "Hot loop", "value": 102.8, "limit": 90.0, "since": after(-240).isoformat()}
    incident = fire(detail=detail, title="CPU 102.8 %").incident
    freeze_log(incident, ["one", "two", "<b>three</b>", "password=hunter22", "five"])
    outbox.release(incident=incident, at=after(6), lines=evidence_lines(incident))

    content = messages(NotificationKind.OPENED)
    english, korean = content["en"][1], content["ko"][1]
    assert "rule Hot loop, measured 102.8, limit 90, since 09:11:00 KST, for 4 min 6 s" in english
    assert "  ‹b›three‹/b›\n  password=∗∗∗\n  five\n" in english
    assert "two" not in english
    assert "Link: https://ops.example/incidents/1/" in english
    assert "What to do:" in english
    assert "Hot loop" in korean
    assert "Link:" not in korean
    assert content["facts"]["alerts"][0]["limit"] == 90.0
    assert content["facts"]["lines"][-1] == "five"


@pytest.mark.django_db
def test_a_resolving_message_tells_how_long_it_lasted_and_what_was_seen():
    fire(title="CPU 102.8 %")
    fire("log|api-gateway", title="8,210 lines/s", at=after(60))
    for key in ("health|api-gateway", "log|api-gateway"):
        services.clear(fingerprint=FINGERPRINT, key=key, at=after(3_600))
    services.resolve_green(now=after(3_700))

    body = messages(NotificationKind.RESOLVED)["en"][1]
    assert "It lasted 1 h 1 min." in body
    assert "What was seen:\n- CPU 102.8 %" in body
    assert "- 8,210 lines/s" in body


@pytest.mark.django_db
def test_the_text_is_bounded_whatever_was_seen():
    for number in range(50):
        fire(f"key {number}", title="x" * 300, detail={"text": "y" * 10_000}, at=NOW)
    incident = fire().incident
    freeze_log(incident, ["z" * 100_000] * 100)
    outbox.release(incident=incident, at=after(6), lines=evidence_lines(incident))

    assert all(len(messages(NotificationKind.OPENED)[language][1]) < 8_000 for language in ("ko", "en"))
