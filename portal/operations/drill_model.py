"""Drills that were played: when, by whom, against which incident, and every figure that was measured."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from gateway.drills.plan import Check, Measured


class DrillKind(models.TextChoices):
    """The causes that can be replayed; all but the flood are of :class:`gateway.drills.plan.Drill`."""

    RETRY_STORM = "retry-storm", _("Retry storm")
    ACCEPT_THEN_CLOSE = "accept-then-close", _("Accepted, then closed")
    MUTE = "mute", _("Mute connection")
    BAD_TOKEN = "bad-token", _("Rejected token")
    LOG_FLOOD = "log-flood", _("Log flood")


class DrillState(models.TextChoices):
    """``running`` lasts from the order to the result; ``broken`` says nothing about the gateway."""

    RUNNING = "running", _("Running")
    PASSED = "passed", _("Passed")
    FAILED = "failed", _("Not passed")
    ABORTED = "aborted", _("Aborted")
    BROKEN = "broken", _("Could not be played")


class DrillRun(models.Model):
    """One drill; one runs at a time (a database constraint). Moves only through ``portal.operations.drills``.

    ``frozen`` holds the incident's numbers as they were compared. The newest 200 rows are kept.
    """

    drill = models.CharField(_("drill"), max_length=24, choices=DrillKind)
    state = models.CharField(_("result"), max_length=10, choices=DrillState, default=DrillState.RUNNING)
    started_at = models.DateTimeField(_("started"))
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("requested by"),
    )
    username = models.CharField(_("name"), max_length=150, blank=True)
    reason = models.CharField(_("reason"), max_length=300)
    incident = models.ForeignKey(
        "incidents.Incident",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="drills",
        verbose_name=_("compared with"),
    )
    taken_at = models.DateTimeField(_("begun by a worker"), null=True, blank=True)
    seen_at = models.DateTimeField(_("last sign of life"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)
    abort_asked_at = models.DateTimeField(_("abort asked"), null=True, blank=True)
    aborted_by = models.CharField(_("aborted by"), max_length=150, blank=True)
    measured = models.JSONField(_("measured"), default=dict, blank=True)
    checks = models.JSONField(_("expectations"), default=list, blank=True)
    frozen = models.JSONField(_("the incident's numbers"), default=dict, blank=True)
    detail = models.CharField(_("detail"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("drill")
        verbose_name_plural = _("drills")
        ordering = ["-started_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["state"], condition=Q(state="running"), name="one_drill_at_a_time"
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_drill_display()} {self.started_at:%Y-%m-%d %H:%M} {self.state}"

    @property
    def figures(self) -> Measured | None:
        """What was measured so far; None before the first figure."""
        data: dict[str, Any] = self.measured
        return Measured.from_json(data) if data else None

    @property
    def judged(self) -> tuple[Check, ...]:
        """The expectations with what was seen; empty until the end."""
        return tuple(Check(**one) for one in self.checks)
