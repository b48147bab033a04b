"""Fires a rule for a test: its own sentence, marked, through the real channels; no incident opens."""

from __future__ import annotations

import logging

from celery import current_app, shared_task
from django.conf import settings
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from kombu.exceptions import OperationalError

from incidents import notifications
from portal.monitoring.models import Rule, RuleKind
from portal.monitoring.samples import Sample
from portal.monitoring.texts import alert_text

logger = logging.getLogger(__name__)

TASK = "monitoring.test_fire"
QUEUE = "ops"


def message(rule: Rule) -> tuple[str, str]:
    """Return subject and body of the test: what the alert would say at the rule's own limit."""
    sample = Sample(
        kind=RuleKind(rule.kind),
        subject="test",
        name="test-service",
        fingerprint="test",
        at=timezone.now(),
        value=rule.open_above,
        extra={"url": "https://test.invalid/", "result": "—"},
    )
    with translation.override(settings.LANGUAGE_CODE):
        subject = _("[TEST] %(alert)s") % {"alert": alert_text(rule, sample)}
        body = _("This is a test of the rule “%(rule)s”. Nothing is wrong and no incident was opened.")
        return subject[:250], body % {"rule": rule.name}


def ask(rule: Rule) -> bool:
    """Ask the ``ops`` worker to fire ``rule`` for a test; False when the broker does not answer."""
    try:
        current_app.send_task(TASK, args=[rule.pk], queue=QUEUE, retry=False, expires=60)
    except OperationalError:
        return False
    return True


@shared_task(name=TASK, ignore_result=True)
def fire(rule_id: int) -> None:
    """Send the test of one rule to every channel; a rule that is gone sends nothing."""
    rule = Rule.objects.filter(pk=rule_id).first()
    if rule is None:
        return
    subject, body = message(rule)
    took = notifications.send_test(urls=settings.NOTIFY_URLS, subject=subject, body=body)
    logger.warning("test of rule %s: %d of %d channels took it", rule.name, sum(took.values()), len(took))
