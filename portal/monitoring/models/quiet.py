"""Silences and maintenance windows: when nothing opens, and for whom."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

#: A silence is never longer; what needs more is a rule to change.
LONGEST_SILENCE = timedelta(days=30)
WEEKDAYS = (
    ("mon", _("Monday")),
    ("tue", _("Tuesday")),
    ("wed", _("Wednesday")),
    ("thu", _("Thursday")),
    ("fri", _("Friday")),
    ("sat", _("Saturday")),
    ("sun", _("Sunday")),
)


def _given(moment: datetime | None) -> datetime | None:
    """A form that lacks a field still has its row cleaned."""
    return moment


class Silence(models.Model):
    """Until ``until``, alerts that match open no incident; ended early by moving ``until``."""

    service_pattern = models.CharField(
        _("services"), max_length=200, default="*", help_text=_("Shell pattern of service names.")
    )
    rule_pattern = models.CharField(
        _("rules"), max_length=200, default="*", help_text=_("Shell pattern of rule names.")
    )
    starts_at = models.DateTimeField(_("from"))
    until = models.DateTimeField(_("until"), help_text=_("At most 30 days after its start."))
    reason = models.CharField(_("reason"), max_length=300)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        editable=False,
        related_name="+",
        verbose_name=_("created by"),
    )
    history = HistoricalRecords()

    class Meta:
        verbose_name = _("silence")
        verbose_name_plural = _("silences")
        ordering = ["-until"]
        indexes = [models.Index(fields=["until"], name="silence_until")]

    def __str__(self) -> str:
        return f"{self.service_pattern} {self.rule_pattern}: {self.reason}"

    def clean(self) -> None:
        """Refuse one without an end in sight.

        Raises:
            ValidationError: it ends before it starts, or later than :data:`LONGEST_SILENCE` after.
        """
        starts, until = _given(self.starts_at), _given(self.until)
        if starts is None or until is None:
            return
        if until < starts:
            raise ValidationError({"until": _("It would end before it starts.")})
        if until - starts > LONGEST_SILENCE:
            raise ValidationError({"until": _("A silence lasts at most 30 days.")})


class MaintenanceWindow(models.Model):
    """A recurring time at which services may fail: nothing opens inside, what still fails after it does."""

    name = models.CharField(_("name"), max_length=100, unique=True)
    weekdays = models.JSONField(_("weekdays"), default=list)
    start = models.TimeField(_("start (KST)"))
    duration_min = models.PositiveIntegerField(
        _("duration (min)"), default=60, validators=[MinValueValidator(1), MaxValueValidator(24 * 60)]
    )
    service_pattern = models.CharField(
        _("services"), max_length=200, default="*", help_text=_("Shell pattern of service names.")
    )
    reason = models.CharField(_("reason"), max_length=300)
    enabled = models.BooleanField(_("enabled"), default=True)
    history = HistoricalRecords()

    class Meta:
        verbose_name = _("maintenance window")
        verbose_name_plural = _("maintenance windows")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse one that never comes.

        Raises:
            ValidationError: no weekday, or an unknown one.
        """
        known = {name for name, _label in WEEKDAYS}
        if not isinstance(self.weekdays, list) or not self.weekdays or not set(self.weekdays) <= known:
            raise ValidationError({"weekdays": _("Choose at least one weekday.")})
