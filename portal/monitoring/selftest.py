"""The self-test: a synthetic fault on the real way from rule over incident and outbox to the channels.

Its sample belongs to no service. Its incident's fingerprint begins with :data:`incidents.models.EXERCISE`, by
which lists and the status page leave it out; it is resolved as soon as the result is known.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from incidents import services as incidents
from incidents.errors import IncidentError
from incidents.models import EXERCISE, DeliveryState, Incident, Notification, NotificationKind
from portal.monitoring import engine
from portal.monitoring.models import RuleKind, SelfTest, SelfTestState
from portal.monitoring.samples import Sample

logger = logging.getLogger(__name__)

#: Seconds from the fault to the delivered message; what takes longer has failed, though it was delivered.
LIMIT_S = 60.0
#: After this long a message that was not delivered counts as lost.
GIVE_UP = timedelta(seconds=180)
NAME = "bonghwa-self-test"


class AlreadyRunning(Exception):
    """One self-test at a time."""


def start(*, now: datetime, by: AbstractBaseUser | None = None) -> SelfTest:
    """Inject the fault; :func:`settle` measures what becomes of it.

    Raises:
        AlreadyRunning: an earlier one has no result yet.
    """
    try:
        with transaction.atomic():
            test = SelfTest.objects.create(started_at=now, requested_by_id=getattr(by, "pk", None))
    except IntegrityError as error:
        raise AlreadyRunning(_("A self-test is running already.")) from error
    if not engine.evaluate([_sample(test, now, 1.0)]):
        _end(
            test, now, SelfTestState.FAILED, _("No rule took the sample: the rule “alarm-self-test” is off.")
        )
    return test


def settle(now: datetime) -> list[SelfTest]:
    """Give every running self-test its result once there is one; safe against another worker."""
    return [test for test in SelfTest.objects.filter(state=SelfTestState.RUNNING) if _settle(test, now)]


def ended() -> QuerySet[SelfTest]:
    """Return the self-tests that have a result, the newest first."""
    return SelfTest.objects.exclude(state=SelfTestState.RUNNING)


def fingerprint(test: SelfTest) -> str:
    """Return the fingerprint of the test's incident."""
    return f"{EXERCISE}self-test:{test.pk}"


def _settle(test: SelfTest, now: datetime) -> bool:
    incident = Incident.objects.filter(fingerprint=fingerprint(test)).first()
    message = Notification.objects.filter(incident=incident, kind=NotificationKind.OPENED).first()
    if incident is not None and test.incident_after_s is None:
        test.incident_after_s = _seconds(test, incident.opened_at)
        SelfTest.objects.filter(pk=test.pk).update(incident_after_s=test.incident_after_s)
    if message is not None and message.delivered_at is not None:
        test.delivered_after_s = _seconds(test, message.delivered_at)
        late = test.delivered_after_s > LIMIT_S
        detail = _("over the limit of %(limit)d s") % {"limit": LIMIT_S} if late else ""
        return _end(test, now, SelfTestState.LATE if late else SelfTestState.PASSED, detail)
    if message is not None and message.state in (DeliveryState.FAILED, DeliveryState.NO_CHANNEL):
        return _end(test, now, SelfTestState.FAILED, message.last_error or str(message.get_state_display()))
    if now - test.started_at < GIVE_UP:
        return False
    if message is None:
        return _end(test, now, SelfTestState.FAILED, _("The alert opened no incident with a message."))
    why = message.last_error or _("nobody delivered the outbox")
    return _end(test, now, SelfTestState.FAILED, why)


def _seconds(test: SelfTest, at: datetime) -> float:
    return round(max(0.0, (at - test.started_at).total_seconds()), 3)


def _end(test: SelfTest, now: datetime, state: SelfTestState, detail: str) -> bool:
    """Clean up and write the result, once. A worker killed in between leaves it to the next one."""
    _clean_up(test, now)
    won = SelfTest.objects.filter(pk=test.pk, state=SelfTestState.RUNNING).update(
        state=state, detail=detail[:300], ended_at=now, delivered_after_s=test.delivered_after_s
    )
    if not won:
        return False
    test.state, test.detail, test.ended_at = state, detail[:300], now
    if state is SelfTestState.PASSED:
        logger.info("self-test passed: delivered after %.1f s", test.delivered_after_s or 0.0)
    else:
        logger.error("self-test failed: %s", detail)
    return True


def _clean_up(test: SelfTest, now: datetime) -> None:
    engine.evaluate([_sample(test, now, 0.0)])
    for incident in Incident.objects.filter(fingerprint=fingerprint(test)):
        if incident.is_open:
            try:
                incidents.resolve(incident=incident, at=now, reason=_("the self-test is over"), force=True)
            except IncidentError as error:
                # Another worker was first; otherwise it resolves by itself, since it is green.
                logger.warning("incident of the self-test: %s", error)


def _sample(test: SelfTest, at: datetime, value: float) -> Sample:
    return Sample(
        kind=RuleKind.SELF_TEST,
        subject=f"self-test:{test.pk}",
        name=NAME,
        fingerprint=fingerprint(test),
        at=at,
        value=value,
        began=test.started_at,
        extra={"exercise": True},
    )
