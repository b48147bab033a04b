"""Self-tests: exercises of the whole way from a fault to a delivered message."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class SelfTestState(models.TextChoices):
    """How a self-test ended. ``late``: delivered, but over the limit."""

    RUNNING = "running", _("Running")
    PASSED = "passed", _("Passed")
    LATE = "late", _("Too slow")
    FAILED = "failed", _("Not delivered")


class SelfTest(models.Model):
    """One exercise; the newest 30 are kept, one runs at a time (a database constraint)."""

    started_at = models.DateTimeField(_("started"))
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("requested by"),
    )
    state = models.CharField(_("result"), max_length=10, choices=SelfTestState, default=SelfTestState.RUNNING)
    incident_after_s = models.FloatField(_("seconds to the incident"), null=True, blank=True)
    delivered_after_s = models.FloatField(_("seconds to the delivered message"), null=True, blank=True)
    detail = models.CharField(_("detail"), max_length=300, blank=True)
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True)

    class Meta:
        verbose_name = _("self-test")
        verbose_name_plural = _("self-tests")
        ordering = ["-started_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["state"], condition=Q(state="running"), name="one_self_test_at_a_time"
            )
        ]

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d %H:%M} {self.state}"
