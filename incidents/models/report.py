"""A report as typed rows, one model per section of the seed's layout."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords


class Priority(models.TextChoices):
    """Urgency of a fix or measure."""

    P0 = "P0", "P0"
    P1 = "P1", "P1"
    P2 = "P2", "P2"
    P3 = "P3", "P3"


class Provenance(models.TextChoices):
    """Where a row comes from; a person's text is never overwritten by a draft."""

    MEASURED = "measured", _("Measured")
    INFERRED = "inferred", _("Inferred")
    PERSON = "person", _("Written by a person")


class Report(models.Model):
    """The one report of an incident; summary and detail are two renderings of it.

    ``root_cause`` is the one-line root cause. ``extra_after`` of an :class:`ExtraSection` keeps sections
    that the layout does not know, so that importing loses nothing.
    """

    incident = models.OneToOneField("incidents.Incident", models.CASCADE, related_name="report")
    title = models.CharField(_("title"), max_length=200)
    language = models.CharField(_("language"), max_length=2, default="ko")
    analysed_at = models.DateTimeField(_("analysed"))
    root_cause = models.TextField(_("root cause in one line"), blank=True)
    root_cause_provenance = models.CharField(
        _("provenance"), max_length=8, choices=Provenance, default=Provenance.PERSON
    )
    root_cause_evidence = models.ForeignKey(
        "incidents.Evidence", models.SET_NULL, null=True, blank=True, related_name="+"
    )
    drafted_at = models.DateTimeField(_("drafted"), null=True, blank=True)
    history = HistoricalRecords()

    class Meta:
        verbose_name = _("report")
        verbose_name_plural = _("reports")

    def __str__(self) -> str:
        return self.title


class Row(models.Model):
    """Shared columns of every section's rows."""

    report = models.ForeignKey(Report, models.CASCADE)
    order = models.PositiveIntegerField(_("order"), default=0)
    provenance = models.CharField(
        _("provenance"), max_length=8, choices=Provenance, default=Provenance.PERSON
    )
    evidence = models.ForeignKey(
        "incidents.Evidence", models.SET_NULL, null=True, blank=True, related_name="+"
    )

    class Meta:
        abstract = True
        ordering = ["order", "pk"]


class StatusRow(Row):
    """One service in "current state". Texts are as printed, Markdown emphasis included."""

    service = models.CharField(_("service"), max_length=200)
    state = models.CharField(_("state"), max_length=200)
    cpu = models.CharField("CPU", max_length=100, blank=True)
    memory = models.CharField(_("memory"), max_length=100, blank=True)
    history = HistoricalRecords()

    class Meta(Row.Meta):
        verbose_name = _("status row")
        verbose_name_plural = _("current state")

    def __str__(self) -> str:
        return self.service


class ProblemDetail(Row):
    """One numbered problem; ``body`` is Markdown with its code blocks, lists and tables.

    The external-access section of the layout is not one of these: its rows are :class:`AccessRow`.
    """

    title = models.CharField(_("title"), max_length=300)
    body = models.TextField(_("body (Markdown)"), blank=True)
    history = HistoricalRecords()

    class Meta(Row.Meta):
        verbose_name = _("problem detail")
        verbose_name_plural = _("problem details")

    def __str__(self) -> str:
        return self.title


class AccessRow(Row):
    """One vantage of the external-access table."""

    path = models.CharField(_("path"), max_length=500)
    result = models.CharField(_("result"), max_length=300)
    history = HistoricalRecords()

    class Meta(Row.Meta):
        verbose_name = _("external access row")
        verbose_name_plural = _("external access")

    def __str__(self) -> str:
        return self.path


class CauseKind(models.TextChoices):
    """Distance of a cause from the failure."""

    DIRECT = "direct", _("Direct")
    SECONDARY = "secondary", _("Secondary")


class CauseRow(Row):
    """One direct or secondary cause."""

    kind = models.CharField(_("kind"), max_length=10, choices=CauseKind)
    text = models.CharField(_("cause"), max_length=500)
    history = HistoricalRecords()

    class Meta(Row.Meta):
        verbose_name = _("cause")
        verbose_name_plural = _("causes")

    def __str__(self) -> str:
        return self.text


class CodeProblem(Row):
    """Current against right behaviour of the code."""

    problem = models.CharField(_("problem"), max_length=300)
    current = models.CharField(_("current"), max_length=300)
    right = models.CharField(_("right behaviour"), max_length=300)
    history = HistoricalRecords()

    class Meta(Row.Meta):
        verbose_name = _("code problem")
        verbose_name_plural = _("code problems")

    def __str__(self) -> str:
        return self.problem


class EmergencyCommand(Row):
    """One immediate action: what it does and the command."""

    comment = models.CharField(_("comment"), max_length=300, blank=True)
    command = models.TextField(_("command"))
    history = HistoricalRecords()

    class Meta(Row.Meta):
        verbose_name = _("emergency command")
        verbose_name_plural = _("emergency commands")

    def __str__(self) -> str:
        return self.command


class FixRow(Row):
    """One change to a file."""

    file = models.CharField(_("file"), max_length=300)
    change = models.CharField(_("change"), max_length=500)
    priority = models.CharField(_("priority"), max_length=2, choices=Priority, default=Priority.P1)
    history = HistoricalRecords()

    class Meta(Row.Meta):
        verbose_name = _("code fix")
        verbose_name_plural = _("code fixes")

    def __str__(self) -> str:
        return f"{self.file}: {self.change}"


class ProxyChange(Row):
    """A proxy configuration change; ``body`` is Markdown with its code block."""

    title = models.CharField(_("title"), max_length=300, blank=True)
    body = models.TextField(_("body (Markdown)"))
    history = HistoricalRecords()

    class Meta(Row.Meta):
        verbose_name = _("proxy change")
        verbose_name_plural = _("proxy changes")

    def __str__(self) -> str:
        return self.title or self.body[:60]


class LongTermItem(Row):
    """One long-term improvement."""

    text = models.CharField(_("improvement"), max_length=500)
    history = HistoricalRecords()

    class Meta(Row.Meta):
        verbose_name = _("long-term improvement")
        verbose_name_plural = _("long-term improvements")

    def __str__(self) -> str:
        return self.text


class ReportFile(Row):
    """A report file and its path."""

    label = models.CharField(_("label"), max_length=200)
    path = models.CharField(_("path"), max_length=500)
    note = models.CharField(_("note"), max_length=200, blank=True)
    history = HistoricalRecords()

    class Meta(Row.Meta):
        verbose_name = _("report file")
        verbose_name_plural = _("report files")

    def __str__(self) -> str:
        return self.path


class ExtraSection(Row):
    """A section the layout does not know, kept as it was read."""

    heading = models.CharField(_("heading"), max_length=300)
    level = models.PositiveSmallIntegerField(_("level"), default=2)
    body = models.TextField(_("body (Markdown)"), blank=True)
    after = models.CharField(_("after section"), max_length=40, blank=True)
    history = HistoricalRecords()

    class Meta(Row.Meta):
        verbose_name = _("extra section")
        verbose_name_plural = _("extra sections")

    def __str__(self) -> str:
        return self.heading
