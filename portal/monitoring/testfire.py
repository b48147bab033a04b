"""Fires a rule for a test: its own sentence, marked, through the outbox to every channel; opens nothing."""

from __future__ import annotations

from django.utils import timezone, translation
from django.utils.translation import gettext as _

from incidents import channel_tests, texts
from incidents.inert import inert
from portal.monitoring.models import Rule, RuleKind
from portal.monitoring.samples import Sample
from portal.monitoring.texts import alert_text


def compose(rule: Rule) -> texts.Content:
    """Return the message in each language: what the alert would say at the rule's own limit."""
    now = timezone.now()
    sample = Sample(
        kind=RuleKind(rule.kind),
        subject="test",
        name="test-service",
        fingerprint="test",
        at=now,
        value=rule.open_above,
        extra={"url": "https://test.invalid/", "result": "—"},
    )
    content: texts.Content = {"facts": {"at": now.isoformat()}}
    for language in texts.languages():
        with translation.override(language):
            subject = _("[TEST] %(alert)s") % {"alert": alert_text(rule, sample)}
            body = _("This is a test of the rule “%(rule)s”. Nothing is wrong and no incident was opened.")
            content[language] = [subject[:250], body % {"rule": inert(rule.name)}]
    return content


def fire(rule: Rule) -> int:
    """Send the test of one rule to every channel; return how many channels there are."""
    return channel_tests.start_all(content=compose(rule), at=timezone.now())
