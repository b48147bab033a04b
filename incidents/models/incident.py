"""An incident and the signals that keep it open."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _


class Severity(models.TextChoices):
    """How bad it is; ``critical`` wakes somebody."""

    CRITICAL = "critical", _("Critical")
    WARNING = "warning", _("Warning")
    INFO = "info", _("Info")


class State(models.TextChoices):
    """Lifecycle of an incident; ``incidents.transitions`` says which moves are legal."""

    DETECTED = "detected", _("Detected")
    ACKNOWLEDGED = "acknowledged", _("Acknowledged")
    MITIGATED = "mitigated", _("Mitigated")
    RESOLVED = "resolved", _("Resolved")
    REVIEWED = "reviewed", _("Reviewed")
    CLOSED = "closed", _("Closed")


#: Fingerprints of exercises begin so; their incidents are real in all but their cause.
EXERCISE = "exercise:"
#: Everything but exercises: what lists, counts and the status page show.
REAL = ~Q(fingerprint__startswith=EXERCISE)
OPEN_STATES = (State.DETECTED, State.ACKNOWLEDGED, State.MITIGATED)


class Incident(models.Model):
    """One outage with one cause. Moves only through ``incidents.services``."""

    number = models.PositiveIntegerField(_("number"), unique=True)
    title = models.CharField(_("title"), max_length=200)
    slug = models.SlugField(_("slug"), max_length=80, allow_unicode=True)
    fingerprint = models.CharField(_("fingerprint"), max_length=200, db_index=True)
    services = models.JSONField(_("services"), default=list, blank=True)
    severity = models.CharField(_("severity"), max_length=16, choices=Severity, default=Severity.CRITICAL)
    state = models.CharField(_("state"), max_length=16, choices=State, default=State.DETECTED)
    lead = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, verbose_name=_("lead")
    )
    impact_started_at = models.DateTimeField(_("impact started"), null=True, blank=True)
    opened_at = models.DateTimeField(_("opened"))
    acknowledged_at = models.DateTimeField(_("acknowledged"), null=True, blank=True)
    mitigated_at = models.DateTimeField(_("mitigated"), null=True, blank=True)
    resolved_at = models.DateTimeField(_("resolved"), null=True, blank=True)
    reviewed_at = models.DateTimeField(_("reviewed"), null=True, blank=True)
    closed_at = models.DateTimeField(_("closed"), null=True, blank=True)
    green_since = models.DateTimeField(_("green since"), null=True, blank=True)
    resolve_after_s = models.FloatField(
        _("resolve window (s)"), default=300.0, help_text=_("Seconds of green before it resolves by itself.")
    )
    reopened = models.PositiveIntegerField(_("times reopened"), default=0)
    reopened_at = models.DateTimeField(_("reopened at"), null=True, blank=True)
    frozen_at = models.DateTimeField(
        _("evidence frozen"), null=True, blank=True, help_text=_("Set by the worker that claimed the freeze.")
    )
    recurrence_of = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="recurrences",
        verbose_name=_("recurrence of"),
    )
    merged_into = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="merged",
        verbose_name=_("merged into"),
    )
    split_from = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, related_name="splits", verbose_name=_("split from")
    )
    followed_at = models.DateTimeField(
        _("minutes after appended"),
        null=True,
        blank=True,
        editable=False,
        help_text=_("Set by the worker that claimed the second part of the evidence."),
    )
    import_key = models.CharField(
        _("import key"),
        max_length=200,
        null=True,
        blank=True,
        unique=True,
        editable=False,
    )

    class Meta:
        verbose_name = _("incident")
        verbose_name_plural = _("incidents")
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(
                fields=["fingerprint"],
                condition=Q(state__in=["detected", "acknowledged", "mitigated"]),
                name="one_open_incident_per_fingerprint",
            ),
            # Resolving and reopening write state and time in one UPDATE, and so do a mitigation and
            # its taking back; half of one is refused.
            models.CheckConstraint(
                condition=Q(state__in=["detected", "acknowledged", "mitigated"], resolved_at=None)
                | Q(state__in=["resolved", "reviewed", "closed"], resolved_at__isnull=False),
                name="resolved_incidents_have_their_time",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["detected", "acknowledged"], mitigated_at=None)
                | Q(state="mitigated", mitigated_at__isnull=False)
                | Q(state__in=["resolved", "reviewed", "closed"]),
                name="mitigated_incidents_have_their_time",
            ),
            models.CheckConstraint(
                condition=Q(merged_into=None)
                | (~Q(merged_into=F("id")) & ~Q(state__in=["detected", "acknowledged", "mitigated"])),
                name="merged_incidents_stay_resolved",
            ),
        ]

    def __str__(self) -> str:
        return f"INC-{self.number} {self.title}"

    def get_absolute_url(self) -> str:
        """Return the path of its page."""
        return f"/incidents/{self.number}/"

    @property
    def is_open(self) -> bool:
        """Whether it still burns (detected, acknowledged or mitigated)."""
        return self.state in OPEN_STATES

    @property
    def is_exercise(self) -> bool:
        """Whether it was made on purpose, to see whether the alarm works."""
        return self.fingerprint.startswith(EXERCISE)

    @property
    def burning_since(self) -> datetime:
        """When the present (or last) occurrence began: the reopening, or the opening."""
        return self.reopened_at or self.opened_at


class IncidentSignal(models.Model):
    """One alert attached to an incident; the incident is green when every signal is cleared.

    ``origin`` is the fingerprint under which monitoring knows it. It differs from the incident's own once
    the signal was merged or split, and a clearance finds the signal by it wherever it went.
    """

    incident = models.ForeignKey(Incident, models.CASCADE, related_name="signals", verbose_name=_("incident"))
    key = models.CharField(_("key"), max_length=200)
    origin = models.CharField(_("fingerprint"), max_length=200, blank=True, db_index=True)
    title = models.CharField(_("title"), max_length=300)
    severity = models.CharField(_("severity"), max_length=16, choices=Severity)
    detail = models.JSONField(_("detail"), default=dict, blank=True)
    opened_at = models.DateTimeField(_("opened"))
    cleared_at = models.DateTimeField(_("cleared"), null=True, blank=True)

    class Meta:
        verbose_name = _("signal")
        verbose_name_plural = _("signals")
        ordering = ["opened_at", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["incident", "origin", "key"],
                condition=Q(cleared_at=None),
                name="one_open_signal_per_key",
            ),
            # While split and clear race, one alert is still open in one incident only.
            models.UniqueConstraint(
                fields=["origin", "key"],
                condition=Q(cleared_at=None) & ~Q(origin=""),
                name="one_open_signal_per_alert",
            ),
        ]

    def __str__(self) -> str:
        return self.title
