"""Channels: where messages go, to whom they speak, and what they want to hear."""

from __future__ import annotations

from datetime import datetime
from fnmatch import fnmatchcase
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from incidents.models.incident import Severity

#: From the most to the least severe.
RANKS = (Severity.CRITICAL, Severity.WARNING, Severity.INFO)


class ChannelKind(models.TextChoices):
    """How a message gets there."""

    APPRISE = "apprise", _("Apprise address")
    WEBHOOK = "webhook", _("Signed webhook")
    ENVIRONMENT = "environment", _("NOTIFY_URLS")


class Step(models.IntegerChoices):
    """When a channel begins to hear of an incident. The times are those of ``NOTIFY_ESCALATION``."""

    AT_ONCE = 0, _("At once")
    FIRST = 1, _("With the first reminder (5 min unacknowledged)")
    SECOND = 2, _("With the second reminder (15 min unacknowledged)")
    THIRD = 3, _("With the third reminder (30 min unacknowledged)")


class Channel(models.Model):
    """One receiver and its route. ``address`` and ``signing_secret`` are sealed by ``incidents.vault``.

    A channel of ``NOTIFY_URLS`` is a row without an address: only the digest names its entry.
    """

    name = models.CharField(_("name"), max_length=80)
    kind = models.CharField(_("kind"), max_length=16, choices=ChannelKind, default=ChannelKind.APPRISE)
    address = models.TextField(_("address"), blank=True, editable=False)
    signing_secret = models.TextField(_("signing secret"), blank=True, editable=False)
    shown_address = models.CharField(_("address"), max_length=120, blank=True, editable=False)
    address_set_at = models.DateTimeField(_("address entered"), null=True, blank=True, editable=False)
    digest = models.CharField(max_length=64, blank=True, editable=False)
    enabled = models.BooleanField(_("enabled"), default=True)
    language = models.CharField(_("language"), max_length=2, choices=settings.LANGUAGES, default="ko")
    min_severity = models.CharField(
        _("from this severity"), max_length=16, choices=Severity, default=Severity.INFO
    )
    services = models.CharField(
        _("services"),
        max_length=300,
        blank=True,
        help_text=_("Names with * and ?, separated by commas; empty means all."),
    )
    hours_from = models.TimeField(
        _("working hours from"), null=True, blank=True, help_text=_("Both empty: at any time.")
    )
    hours_to = models.TimeField(
        _("working hours to"), null=True, blank=True, help_text=_("Before the start: past midnight.")
    )
    weekdays_only = models.BooleanField(_("Monday to Friday only"), default=False)
    step = models.PositiveSmallIntegerField(_("told"), choices=Step, default=Step.AT_ONCE)
    per_hour = models.PositiveIntegerField(
        _("messages an hour"),
        default=30,
        validators=[MinValueValidator(1), MaxValueValidator(1000)],
        help_text=_("What is above it is held back and told in one roll-up."),
    )
    position = models.PositiveIntegerField(
        _("order"), default=0, help_text=_("When a channel fails, the next one in this order is told.")
    )
    history = HistoricalRecords(excluded_fields=["address", "signing_secret", "digest"])

    class Meta:
        verbose_name = _("channel")
        verbose_name_plural = _("channels")
        ordering = ["position", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["digest"], condition=~Q(digest=""), name="one_channel_per_environment_entry"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_external(self) -> bool:
        """Whether it comes from ``NOTIFY_URLS`` and so is only read here."""
        return self.kind == ChannelKind.ENVIRONMENT

    def wants(self, severity: str, services: list[str]) -> bool:
        """Whether an incident of this severity about these services is for this channel."""
        if RANKS.index(Severity(severity)) > RANKS.index(Severity(self.min_severity)):
            return False
        patterns = [part.strip() for part in self.services.split(",") if part.strip()]
        if not patterns:
            return True
        return any(fnmatchcase(service, pattern) for service in services for pattern in patterns)

    def is_on_duty(self, now: datetime) -> bool:
        """Whether ``now`` is within its working hours, in the portal's time zone."""
        local = now.astimezone(ZoneInfo(settings.TIME_ZONE))
        if self.weekdays_only and local.weekday() >= 5:
            return False
        if self.hours_from is None or self.hours_to is None:
            return True
        if self.hours_from <= self.hours_to:
            return self.hours_from <= local.time() < self.hours_to
        return local.time() >= self.hours_from or local.time() < self.hours_to
