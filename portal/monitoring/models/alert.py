"""Rules, their folded state per subject, and the alerts they open."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from portal.monitoring.models.service import Service

SEVERITIES = [("critical", _("Critical")), ("warning", _("Warning")), ("info", _("Info"))]


class RuleKind(models.TextChoices):
    """What a rule looks at. The unit of ``open_above`` and ``close_below`` follows from it."""

    FAILING_STREAK = "failing_streak", _("Health check failing streak (checks)")
    # xgettext:no-python-format
    CPU = "cpu", _("CPU sustained (% of limit, or of one core without a limit)")
    # xgettext:no-python-format
    MEMORY_LIMIT = "memory_limit", _("Memory with a limit (% of the limit)")
    MEMORY_NO_LIMIT = "memory_no_limit", _("Memory without a limit (MiB)")
    LOG_FLOOD = "log_flood", _("Log flood (lines/s)")
    PROBE = "probe", _("Probe failing (failures)")
    GATEWAY = "gateway", _("Gateway not live (s)")
    SILENT = "silent", _("Service silent (s)")
    RESTARTS = "restarts", _("Restart loop (restarts in 10 min)")
    SELF_TEST = "self_test", _("Self-test: a synthetic fault (1 = yes)")
    DOWN = "down", _("Not running: crashed, given up or paused (1 = yes)")


class Rule(models.Model):
    """One row per rule; a sample above ``open_above`` is bad, below ``close_below`` good, between keeps."""

    name = models.CharField(_("name"), max_length=100, unique=True)
    kind = models.CharField(_("kind"), max_length=20, choices=RuleKind)
    severity = models.CharField(_("severity"), max_length=16, choices=SEVERITIES, default="critical")
    open_above = models.FloatField(_("bad at or above"))
    close_below = models.FloatField(_("good below"))
    open_after = models.PositiveIntegerField(
        _("open after"), default=3, help_text=_("Bad samples in a row that open an alert.")
    )
    close_after = models.PositiveIntegerField(
        _("close after"), default=2, help_text=_("Good samples in a row that close it.")
    )
    service_pattern = models.CharField(
        _("services"), max_length=200, default="*", help_text=_("Shell pattern of service names.")
    )
    opens_incident = models.BooleanField(_("opens an incident"), default=True)
    enabled = models.BooleanField(_("enabled"), default=True)

    class Meta:
        verbose_name = _("rule")
        verbose_name_plural = _("rules")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class RuleState(models.Model):
    """Where the fold of one rule over one subject stands; ``version`` guards against two workers."""

    rule = models.ForeignKey(Rule, models.CASCADE, related_name="states", verbose_name=_("rule"))
    subject = models.CharField(_("subject"), max_length=300)
    bad = models.PositiveIntegerField(_("bad samples in a row"), default=0)
    good = models.PositiveIntegerField(_("good samples in a row"), default=0)
    firing = models.BooleanField(_("firing"), default=False)
    value = models.FloatField(_("value"), null=True)
    since = models.DateTimeField(_("first bad sample"), null=True)
    sampled_at = models.DateTimeField(_("sampled"))
    version = models.PositiveIntegerField(_("version"), default=0)

    class Meta:
        verbose_name = _("rule state")
        verbose_name_plural = _("rule states")
        constraints = [models.UniqueConstraint(fields=["rule", "subject"], name="one_state_per_rule_subject")]

    def __str__(self) -> str:
        return f"{self.rule_id} {self.subject}"


class Alert(models.Model):
    """A rule that fired on a subject; at most one open per pair (a database constraint)."""

    rule = models.ForeignKey(Rule, models.CASCADE, related_name="alerts", verbose_name=_("rule"))
    subject = models.CharField(_("subject"), max_length=300)
    fingerprint = models.CharField(_("incident fingerprint"), max_length=300, blank=True)
    service = models.ForeignKey(
        Service, models.SET_NULL, null=True, blank=True, related_name="alerts", verbose_name=_("service")
    )
    severity = models.CharField(_("severity"), max_length=16, choices=SEVERITIES)
    value = models.FloatField(_("value"), null=True)
    text = models.CharField(_("text"), max_length=500)
    opened_at = models.DateTimeField(_("opened"))
    closed_at = models.DateTimeField(_("closed"), null=True, blank=True)
    closed_reason = models.CharField(_("why it closed"), max_length=300, blank=True)
    incident_number = models.PositiveIntegerField(_("incident"), null=True, blank=True)

    class Meta:
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        ordering = ["-opened_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "subject"], condition=Q(closed_at=None), name="one_open_alert_per_subject"
            )
        ]

    def __str__(self) -> str:
        return self.text
