"""What operators did that leaves no other trace."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from incidents.models import Incident
from portal.monitoring.models import Service


class TailOpening(models.Model):
    """Somebody opened the live log of a service. Names are copied: the row outlives both."""

    at = models.DateTimeField(_("opened"))
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("person")
    )
    username = models.CharField(_("name"), max_length=150)
    service = models.ForeignKey(
        Service, models.SET_NULL, null=True, related_name="+", verbose_name=_("service")
    )
    service_name = models.CharField(_("service name"), max_length=200)

    class Meta:
        verbose_name = _("opened live log")
        verbose_name_plural = _("opened live logs")
        ordering = ["-at", "-pk"]

    def __str__(self) -> str:
        return f"{self.username}: {self.service_name}"


class ActionState(models.TextChoices):
    """How far an action is. ``unknown``: its worker ended, or the runtime did not answer, in the middle."""

    REQUESTED = "requested", _("Requested")
    RUNNING = "running", _("Running")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")
    REFUSED = "refused", _("Refused")
    UNKNOWN = "unknown", _("Unknown")


#: States in which another action on the same service has to wait.
UNDER_WAY = (ActionState.REQUESTED, ActionState.RUNNING)


class Helped(models.TextChoices):
    """What was seen some time after an action."""

    YES = "yes", _("Helped")
    NO = "no", _("Did not help")
    NO_DATA = "no_data", _("No data")


class ActionVerb(models.TextChoices):
    """What can be done to a service."""

    RESTART = "restart", _("Restart")
    STOP = "stop", _("Stop")
    START = "start", _("Start")
    CHECK = "check", _("Health check")


class OperatorAction(models.Model):
    """Something that a person asked to be done to a service; only the ``ops`` worker does it.

    Names are copied: the row outlives person and service. It names a wish; what may be done is decided from
    the worker's own environment and the running container's labels.
    """

    service = models.ForeignKey(
        Service, models.SET_NULL, null=True, related_name="+", verbose_name=_("service")
    )
    service_name = models.CharField(_("service name"), max_length=200)
    incident = models.ForeignKey(
        Incident, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("incident")
    )
    verb = models.CharField(_("action"), max_length=10, choices=ActionVerb)
    reason = models.TextField(_("reason"), blank=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("person")
    )
    username = models.CharField(_("name"), max_length=150, blank=True)
    state = models.CharField(_("state"), max_length=10, choices=ActionState, default=ActionState.REQUESTED)
    requested_at = models.DateTimeField(_("requested"))
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    acted_at = models.DateTimeField(
        _("acted"), null=True, blank=True, help_text=_("When the runtime was told, after the evidence.")
    )
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    note = models.CharField(_("result"), max_length=500, blank=True)
    evidence_note = models.CharField(_("evidence"), max_length=200, blank=True)
    check_due_at = models.DateTimeField(_("check due"), null=True, blank=True)
    checked_at = models.DateTimeField(_("checked"), null=True, blank=True)
    helped = models.CharField(_("effect"), max_length=10, choices=Helped, blank=True)
    check_note = models.CharField(_("seen then"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("action")
        verbose_name_plural = _("actions")
        ordering = ["-requested_at", "-pk"]
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["service", "-requested_at"], name="action_of_service"),
            models.Index(fields=["incident", "-requested_at"], name="action_of_incident"),
            models.Index(fields=["state"], name="action_state"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["service"],
                condition=models.Q(state__in=["requested", "running"]),
                name="one_action_at_a_time",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.verb} {self.service_name}"
