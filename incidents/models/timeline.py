"""The timeline of an incident: append-only, but for the star that takes an event into the report."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from incidents.models.incident import Incident


class TimelineKind(models.TextChoices):
    """What happened. System events carry their values in ``data`` and are worded when shown."""

    OPENED = "opened", _("Incident opened")
    SIGNAL = "signal", _("Alert attached")
    CLEARED = "cleared", _("Alert cleared")
    EVIDENCE = "evidence", _("Evidence frozen")
    DRAFTED = "drafted", _("Report drafted")
    STATE = "state", _("State changed")
    NOTIFIED = "notified", _("Message delivered")
    NOTIFY_FAILED = "notify_failed", _("Message not delivered")
    REOPENED = "reopened", _("Incident reopened")
    IMPORTED = "imported", _("Report imported")
    LEAD = "lead", _("Lead changed")
    IMPACT = "impact", _("Impact start corrected")
    MERGED = "merged", _("Incidents merged")
    SPLIT = "split", _("Incident split")
    DOWNLOAD = "download", _("Evidence downloaded")
    CHECKLIST = "checklist", _("Checklist changed")
    ACTION = "action", _("Action")
    NOTE = "note", _("Note")


class ImmutableEvent(Exception):
    """The timeline is append-only; a note is corrected by another note."""


class TimelineQuerySet(models.QuerySet["TimelineEvent"]):
    """Rows that may be starred and nothing else. Deleting an incident takes its timeline along."""

    def update(self, **values: Any) -> int:
        """Set the star.

        Raises:
            ImmutableEvent: anything else is to be changed.
        """
        if set(values) - {"starred"}:
            raise ImmutableEvent("timeline events are never changed; add a note")
        return super().update(**values)

    def bulk_update(self, *_args: Any, **_options: Any) -> int:
        """Refuse.

        Raises:
            ImmutableEvent: always.
        """
        raise ImmutableEvent("timeline events are never changed; add a note")

    def delete(self) -> tuple[int, dict[str, int]]:
        """Refuse.

        Raises:
            ImmutableEvent: always.
        """
        raise ImmutableEvent("timeline events are never deleted")


class TimelineEvent(models.Model):
    """Append-only: system events and people's notes. Nobody rewrites one."""

    incident = models.ForeignKey(
        Incident, models.CASCADE, related_name="timeline", verbose_name=_("incident")
    )
    at = models.DateTimeField(_("time"))
    kind = models.CharField(_("kind"), max_length=16, choices=TimelineKind)
    text = models.TextField(_("text"), blank=True)
    data = models.JSONField(_("data"), default=dict, blank=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, verbose_name=_("actor")
    )
    evidence = models.ForeignKey(
        "incidents.Evidence", models.SET_NULL, null=True, blank=True, verbose_name=_("evidence")
    )
    starred = models.BooleanField(_("in the report"), default=False)
    objects = TimelineQuerySet.as_manager()

    class Meta:
        verbose_name = _("timeline event")
        verbose_name_plural = _("timeline")
        ordering = ["at", "pk"]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.text}".strip()

    def save(self, *args: Any, **options: Any) -> None:
        """Insert the event, or write its star.

        Raises:
            ImmutableEvent: it was stored before and more than the star is written.
        """
        if self.pk is not None and set(options.get("update_fields") or ("",)) - {"starred"}:
            raise ImmutableEvent("timeline events are never changed; add a note")
        super().save(*args, **options)

    def delete(self, *_args: Any, **_options: Any) -> tuple[int, dict[str, int]]:
        """Refuse.

        Raises:
            ImmutableEvent: always.
        """
        raise ImmutableEvent("timeline events are never deleted")
