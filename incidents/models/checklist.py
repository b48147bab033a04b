"""Prevention checklist: a person's tick is a claim, only evidence verifies."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from incidents.models.incident import Incident
from incidents.models.report import Priority


class ItemState(models.TextChoices):
    """``claimed`` is a person's tick; ``verified`` and ``failing`` come from a verifier only."""

    OPEN = "open", _("Open")
    CLAIMED = "claimed", _("Claimed")
    VERIFIED = "verified", _("Verified")
    FAILING = "failing", _("Failing")
    STALE = "stale", _("Stale")
    WAIVED = "waived", _("Waived")


class Outcome(models.TextChoices):
    """Result of one verification; ``unknown`` never reopens an item."""

    PASS = "pass", _("Pass")
    FAIL = "fail", _("Fail")
    UNKNOWN = "unknown", _("Unknown")


class RunTrigger(models.TextChoices):
    """Why a verifier ran."""

    SCHEDULE = "schedule", _("On schedule")
    CHANGE = "change", _("After a change")
    PERSON = "person", _("By a person")


class ChecklistItem(models.Model):
    """One preventive measure: of an incident's report, or a standing one that belongs to none.

    A standing measure is known by its ``draft_key``: the same finding makes one measure, not two.
    """

    report = models.ForeignKey(
        "incidents.Report",
        models.CASCADE,
        null=True,
        blank=True,
        related_name="checklist",
        verbose_name=_("report"),
    )
    order = models.PositiveIntegerField(_("order"), default=0)
    text = models.TextField(_("measure"))
    draft_key = models.CharField(_("draft key"), max_length=100, blank=True, editable=False)
    priority = models.CharField(_("priority"), max_length=2, choices=Priority, default=Priority.P1)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, verbose_name=_("owner")
    )
    due = models.DateField(_("due"), null=True, blank=True)
    state = models.CharField(_("state"), max_length=16, choices=ItemState, default=ItemState.OPEN)
    verifier = models.CharField(_("verifier"), max_length=64, blank=True)
    parameters = models.JSONField(_("parameters"), default=dict, blank=True)
    target = models.CharField(_("target service"), max_length=200, blank=True)
    observed = models.CharField(_("observed"), max_length=500, blank=True)
    checked_at = models.DateTimeField(_("checked"), null=True, blank=True)
    known_at = models.DateTimeField(_("last known result"), null=True, blank=True, editable=False)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0)
    difference = models.JSONField(_("what changed"), default=dict, blank=True, editable=False)
    waived_until = models.DateField(_("waived until"), null=True, blank=True)
    waiver_reason = models.CharField(_("waiver reason"), max_length=500, blank=True)
    waived_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("waived by"),
    )
    history = HistoricalRecords()

    class Meta:
        verbose_name = _("checklist item")
        verbose_name_plural = _("checklist items")
        ordering = ["report", "order", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["draft_key"],
                condition=Q(report=None) & ~Q(draft_key=""),
                name="one_standing_item_per_finding",
            )
        ]

    def __str__(self) -> str:
        return self.text

    @property
    def incident(self) -> Incident | None:
        """The incident that it came from; None for a standing measure."""
        return self.report.incident if self.report else None


class VerificationRun(models.Model):
    """What one run of a verifier saw; an item keeps its last 30, its first pass and its last fail."""

    item = models.ForeignKey(
        ChecklistItem, models.CASCADE, related_name="runs", verbose_name=_("checklist item")
    )
    at = models.DateTimeField(_("time"))
    outcome = models.CharField(_("outcome"), max_length=8, choices=Outcome)
    observed = models.CharField(_("observed"), max_length=500)
    method = models.CharField(_("method"), max_length=200)
    trigger = models.CharField(_("started"), max_length=10, choices=RunTrigger, default=RunTrigger.SCHEDULE)

    class Meta:
        verbose_name = _("verification")
        verbose_name_plural = _("verifications")
        ordering = ["-at", "-pk"]

    def __str__(self) -> str:
        return f"{self.get_outcome_display()} {self.observed}"


class ItemPack(models.Model):
    """Measures that are put on the checklist together, once for each service they are applied to."""

    name = models.CharField(_("name"), max_length=100, unique=True)
    description = models.CharField(_("description"), max_length=300, blank=True)
    history = HistoricalRecords()

    class Meta:
        verbose_name = _("item pack")
        verbose_name_plural = _("item packs")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class PackItem(models.Model):
    """One measure of a pack; a service it is applied to becomes the target."""

    pack = models.ForeignKey(ItemPack, models.CASCADE, related_name="items", verbose_name=_("item pack"))
    order = models.PositiveIntegerField(_("order"), default=0)
    text = models.TextField(_("measure"))
    priority = models.CharField(_("priority"), max_length=2, choices=Priority, default=Priority.P1)
    verifier = models.CharField(_("verifier"), max_length=64, blank=True)
    parameters = models.JSONField(_("parameters"), default=dict, blank=True)

    class Meta:
        verbose_name = _("measure of a pack")
        verbose_name_plural = _("measures of packs")
        ordering = ["pack", "order", "pk"]

    def __str__(self) -> str:
        return self.text
