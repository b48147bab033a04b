"""Rules, their folded state per subject, and the alerts they open."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from portal.monitoring.models.service import Service
from portal.monitoring.rules import MAX_WINDOW
from portal.monitoring.trends import SHORTEST_S

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
    CRASH = "crash", _("Crashed (ends with an error in 10 min)")
    OOM = "oom", _("Killed for lack of memory (kills in 10 min)")
    MEMORY_SLOPE = "memory_slope", _("Memory growth without a limit (MiB/min)")
    MEMORY_LEFT = "memory_left", _("Time until the memory limit (min, low is bad)")
    # xgettext:no-python-format
    TEMPLATE_SHARE = "template_share", _("One log template of many lines (% of all lines)")
    TEMPLATE_RISING = "template_rising", _("Rising log template (times its usual rate)")
    TLS = "tls", _("Certificate expiry (days left, low is bad)")
    LATENCY = "latency", _("Probe latency (ms)")
    GATEWAY_PARKED = "gateway_parked", _("Gateway parked (1 = yes)")
    GATEWAY_UNPLACED = "gateway_unplaced", _("Gateway topics without a place (topics)")
    COLLECTOR = "collector", _("Collector: a runtime does not answer (1 = yes)")
    PROBER = "prober", _("Prober elsewhere silent (s)")


#: Kinds whose thresholds are turned round: at or below is bad.
LOW_IS_BAD = frozenset({RuleKind.MEMORY_LEFT, RuleKind.TLS})
#: Kinds that look at the growth over ``sustain_s`` instead of at a mean.
TRENDS = frozenset({RuleKind.MEMORY_SLOPE, RuleKind.MEMORY_LEFT})


class Market(models.TextChoices):
    """Whose trading hours a rule is limited to."""

    ALWAYS = "", _("At any time")
    KRX = "KRX", _("While KRX trades")
    NXT = "NXT", _("While NXT trades")
    ANY = "any", _("While KRX or NXT trades")


def validate_ladder(text: str) -> None:
    """Refuse what :func:`read_ladder` cannot read.

    Raises:
        ValidationError: it is no ladder.
    """
    read_ladder(text)


def read_ladder(text: str) -> list[tuple[float, str]]:
    """Read ``10=critical, 40=critical`` as rungs of value and severity.

    Raises:
        ValidationError: it is not such text.
    """
    severities = {name for name, _label in SEVERITIES}
    rungs = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        value, _equals, severity = (piece.strip() for piece in part.partition("="))
        try:
            rungs.append((float(value), severity))
        except ValueError:
            severity = ""
        if severity not in severities:
            raise ValidationError(
                _("“%(part)s” is no rung: write value=severity, for example 10=critical, 40=critical."),
                params={"part": part},
            )
    return rungs


class Rule(models.Model):
    """One row per rule; a sample above ``open_above`` is bad, below ``close_below`` good, between keeps."""

    name = models.CharField(_("name"), max_length=100, unique=True)
    kind = models.CharField(_("kind"), max_length=20, choices=RuleKind)
    severity = models.CharField(_("severity"), max_length=16, choices=SEVERITIES, default="critical")
    open_above = models.FloatField(
        _("bad at or above"), help_text=_("For kinds marked “low is bad”: bad at or below.")
    )
    close_below = models.FloatField(
        _("good below"), help_text=_("For kinds marked “low is bad”: good above.")
    )
    open_after = models.PositiveIntegerField(
        _("open after"), default=3, help_text=_("Bad samples in a row that open an alert.")
    )
    close_after = models.PositiveIntegerField(
        _("close after"), default=2, help_text=_("Good samples in a row that close it.")
    )
    window_bad = models.PositiveSmallIntegerField(
        _("or bad samples"),
        default=0,
        validators=[MaxValueValidator(MAX_WINDOW)],
        help_text=_("Opens also when so many of the last samples were bad; 0 for never."),
    )
    window_size = models.PositiveSmallIntegerField(
        _("of the last"), default=0, validators=[MaxValueValidator(MAX_WINDOW)]
    )
    sustain_s = models.FloatField(
        _("mean over (s)"),
        default=0.0,
        validators=[MaxValueValidator(3600.0)],
        help_text=_(
            "Judges the mean over so many seconds instead of single samples; for growth, the time over which "
            "it is measured (at most 1,800). 0 for single samples."
        ),
    )
    ladder = models.CharField(
        _("ladder"),
        max_length=100,
        blank=True,
        validators=[validate_ladder],
        help_text=_("Severity by value while it fires, for example 10=critical, 40=critical."),
    )
    market = models.CharField(
        _("market hours"), max_length=3, choices=Market, default=Market.ALWAYS, blank=True
    )
    runbook = models.CharField(
        _("what to do"), max_length=300, blank=True, help_text=_("Is added to the alert of this rule.")
    )
    service_pattern = models.CharField(
        _("services"), max_length=200, default="*", help_text=_("Shell pattern of service names.")
    )
    opens_incident = models.BooleanField(_("opens an incident"), default=True)
    enabled = models.BooleanField(_("enabled"), default=True)
    history = HistoricalRecords()

    class Meta:
        verbose_name = _("rule")
        verbose_name_plural = _("rules")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse thresholds that contradict each other.

        Raises:
            ValidationError: it would never open, or open and close at one value.
        """
        if self.open_above is not None and self.close_below is not None:
            low = self.kind in LOW_IS_BAD
            if (self.close_below < self.open_above) if low else (self.close_below > self.open_above):
                raise ValidationError({"close_below": _("A sample would be bad and good at once.")})
        if (self.window_bad or 0) > (self.window_size or 0):
            raise ValidationError({"window_size": _("It must be at least the number of bad samples.")})
        if self.kind in TRENDS and not SHORTEST_S <= (self.sustain_s or 0) <= 1800:
            raise ValidationError({"sustain_s": _("Growth is measured over 90 to 1,800 seconds.")})

    def severity_at(self, level: int) -> str:
        """Return the severity at a rung of the ladder; 0 is the rule's own."""
        rungs = read_ladder(self.ladder)
        return rungs[min(level, len(rungs)) - 1][1] if level and rungs else self.severity


class RuleState(models.Model):
    """Where the fold of one rule over one subject stands; ``version`` guards against two workers."""

    rule = models.ForeignKey(Rule, models.CASCADE, related_name="states", verbose_name=_("rule"))
    subject = models.CharField(_("subject"), max_length=300)
    bad = models.PositiveIntegerField(_("bad samples in a row"), default=0)
    good = models.PositiveIntegerField(_("good samples in a row"), default=0)
    firing = models.BooleanField(_("firing"), default=False)
    value = models.FloatField(_("value"), null=True)
    since = models.DateTimeField(_("first bad sample"), null=True)
    level = models.PositiveSmallIntegerField(_("rung"), default=0)
    recent = models.CharField(_("last results"), max_length=MAX_WINDOW, blank=True)
    parts = models.JSONField(_("sustained window"), default=list, blank=True)
    changes = models.JSONField(_("recent changes"), default=list, blank=True)
    flapping = models.BooleanField(_("flapping"), default=False)
    sampled_at = models.DateTimeField(_("sampled"))
    version = models.PositiveIntegerField(_("version"), default=0)

    class Meta:
        verbose_name = _("rule state")
        verbose_name_plural = _("rule states")
        constraints = [models.UniqueConstraint(fields=["rule", "subject"], name="one_state_per_rule_subject")]

    def __str__(self) -> str:
        return f"{self.rule_id} {self.subject}"


class Held(models.TextChoices):
    """What keeps an open alert from opening an incident."""

    NO = "", "—"
    SILENCE = "silence", _("Silenced")
    MAINTENANCE = "maintenance", _("Maintenance")


class Alert(models.Model):
    """A rule that fired on a subject; at most one open per pair (a database constraint).

    ``fingerprint`` names the incident that holds it: that of ``suppressed_by`` when it fails with a service
    it depends on. ``detail`` is what its signal carries, kept so that a held alert can open one later.
    """

    rule = models.ForeignKey(Rule, models.CASCADE, related_name="alerts", verbose_name=_("rule"))
    subject = models.CharField(_("subject"), max_length=300)
    name = models.CharField(_("name"), max_length=200, blank=True)
    fingerprint = models.CharField(_("incident fingerprint"), max_length=300, blank=True)
    service = models.ForeignKey(
        Service, models.SET_NULL, null=True, blank=True, related_name="alerts", verbose_name=_("service")
    )
    severity = models.CharField(_("severity"), max_length=16, choices=SEVERITIES)
    value = models.FloatField(_("value"), null=True)
    text = models.CharField(_("text"), max_length=500)
    level = models.PositiveSmallIntegerField(_("rung"), default=0)
    since = models.DateTimeField(_("first bad sample"), null=True, blank=True)
    detail = models.JSONField(_("detail"), default=dict, blank=True)
    flapping_since = models.DateTimeField(_("flapping since"), null=True, blank=True)
    suppressed_by = models.ForeignKey(
        Service,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="suppressed_alerts",
        verbose_name=_("suppressed by"),
    )
    held = models.CharField(_("held by"), max_length=12, choices=Held, default=Held.NO, blank=True)
    held_reason = models.CharField(_("why it is held"), max_length=300, blank=True)
    acknowledged_at = models.DateTimeField(_("acknowledged"), null=True, blank=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("acknowledged by"),
    )
    acknowledged_reason = models.CharField(_("reason"), max_length=300, blank=True)
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

    @property
    def signal_key(self) -> str:
        """The key of its signal in its incident; it outlives a new name of the rule."""
        return f"rule:{self.rule_id}|{self.subject}"[:200]
