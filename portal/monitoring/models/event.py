"""What happened to services between two sweeps, and how far a runtime's events have been read."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from portal.monitoring.models.service import RuntimeKind, Service


class EventAction(models.TextChoices):
    """What a runtime tells of a service."""

    DIE = "die", _("Ended")
    OOM = "oom", _("Out of memory")
    HEALTH = "health_status", _("Health changed")
    START = "start", _("Started")
    RESTART = "restart", _("Restarted")
    DESTROY = "destroy", _("Removed")


class ServiceEvent(models.Model):
    """One event, written once and never changed; pruned after 14 days and to 5,000 for each service."""

    service = models.ForeignKey(
        Service, models.CASCADE, related_name="events", null=True, verbose_name=_("service")
    )
    runtime = models.CharField(_("runtime"), max_length=10, choices=RuntimeKind)
    key = models.CharField(_("key"), max_length=80)
    name = models.CharField(_("name"), max_length=200)
    runtime_id = models.CharField(_("runtime id"), max_length=128, blank=True)
    at = models.DateTimeField(_("time"))
    action = models.CharField(_("event"), max_length=16, choices=EventAction)
    exit_code = models.IntegerField(_("exit code"), null=True)
    on_purpose = models.BooleanField(_("asked for"), null=True)
    health = models.CharField(_("health"), max_length=10, blank=True)

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        ordering = ["-at", "-pk"]
        indexes = [
            models.Index(fields=["service", "at"], name="event_of_service"),
            models.Index(fields=["at"], name="event_by_age"),
        ]
        constraints = [models.UniqueConstraint(fields=["runtime", "key"], name="one_row_per_event")]

    def __str__(self) -> str:
        return f"{self.name} {self.action} {self.at:%H:%M:%S}"


class EventCursor(models.Model):
    """Up to when the events of a runtime are stored; moves forward in the transaction that stores them."""

    runtime = models.CharField(_("runtime"), max_length=10, choices=RuntimeKind, primary_key=True)
    until = models.DateTimeField(_("read up to"))
    gaps = models.PositiveIntegerField(
        _("gaps"), default=0, help_text=_("Windows of which the runtime may have forgotten a part.")
    )
    last_gap_at = models.DateTimeField(_("last gap"), null=True)

    class Meta:
        verbose_name = _("event cursor")
        verbose_name_plural = _("event cursors")

    def __str__(self) -> str:
        return f"{self.runtime} {self.until:%H:%M:%S}"
