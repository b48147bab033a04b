"""A report as typed rows, one model per section of the seed's layout."""

from __future__ import annotations

from django.conf import settings
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

    incident = models.OneToOneField(
        "incidents.Incident", models.CASCADE, related_name="report", verbose_name=_("incident")
    )
    title = models.CharField(_("title"), max_length=200)
    language = models.CharField(_("language"), max_length=2, default="ko")
    analysed_at = models.DateTimeField(_("analysed"))
    root_cause = models.TextField(_("root cause in one line"), blank=True)
    root_cause_provenance = models.CharField(
        _("provenance"), max_length=8, choices=Provenance, default=Provenance.PERSON
    )
    root_cause_evidence = models.ForeignKey(
        "incidents.Evidence",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("evidence"),
    )
    empty_sections = models.JSONField(
        _("sections without data"),
        default=list,
        blank=True,
        editable=False,
        help_text=_("Sections that are printed with the words “no data”."),
    )
    headings = models.JSONField(
        _("own headings"),
        default=dict,
        blank=True,
        editable=False,
        help_text=_("Wording of headings where it differs from the layout's."),
    )
    drafted_at = models.DateTimeField(_("drafted"), null=True, blank=True)
    revision = models.PositiveIntegerField(
        _("version"),
        default=0,
        editable=False,
        help_text=_("Number of the newest version; an edit names the one that it saw."),
    )
    signed_at = models.DateTimeField(_("signed off"), null=True, blank=True, editable=False)
    signed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
        verbose_name=_("reviewer"),
    )
    history = HistoricalRecords()

    class Meta:
        verbose_name = _("report")
        verbose_name_plural = _("reports")

    def __str__(self) -> str:
        return self.title

    @property
    def locked(self) -> bool:
        """Whether it was signed off; it changes again only after it was reopened with a reason."""
        return self.signed_at is not None


class VersionKind(models.TextChoices):
    """What made a version of a report."""

    DRAFTED = "drafted", _("Drafted from evidence")
    IMPORTED = "imported", _("Imported")
    EDITED = "edited", _("Edited by a person")
    ACCEPTED = "accepted", _("New draft accepted in part")
    CAUSE = "cause", _("Root cause chosen")
    SIGNED = "signed", _("Signed off")
    REOPENED = "reopened", _("Reopened for editing")


class ReportVersion(models.Model):
    """The whole report as it was after one save: who, when, why. Nobody rewrites one."""

    report = models.ForeignKey(Report, models.CASCADE, related_name="versions", verbose_name=_("report"))
    number = models.PositiveIntegerField(_("version"))
    kind = models.CharField(_("kind"), max_length=8, choices=VersionKind)
    at = models.DateTimeField(_("time"))
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("actor"),
    )
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    document = models.JSONField(_("document"))

    class Meta:
        verbose_name = _("report version")
        verbose_name_plural = _("report versions")
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["report", "number"], name="one_report_version_per_number"),
        ]

    def __str__(self) -> str:
        return f"{self.report_id} v{self.number}"


class Row(models.Model):
    """Shared columns of every section's rows.

    ``draft_key`` names the sentence of the draft that a row came from (``status:api-gateway``), so that a
    new draft or another language finds it again; a row that a person wrote has none or keeps the old one.
    """

    report = models.ForeignKey(Report, models.CASCADE, verbose_name=_("report"))
    draft_key = models.CharField(_("draft key"), max_length=100, blank=True, editable=False)
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

    service = models.TextField(_("service"))
    state = models.TextField(_("state"), blank=True)
    cpu = models.TextField("CPU", blank=True)
    memory = models.TextField(_("memory"), blank=True)
    history = HistoricalRecords()

    class Meta(Row.Meta):
        verbose_name = _("status row")
        verbose_name_plural = _("current state")

    def __str__(self) -> str:
        return self.service


class ProblemKind(models.TextChoices):
    """``access`` is the problem under which the external-access table is printed."""

    TEXT = "text", _("Text")
    ACCESS = "access", _("External access")


class ProblemDetail(Row):
    """One numbered problem; ``body`` is Markdown with its code blocks, lists and tables.

    At most one is of kind ``access``; the rows of its table are :class:`AccessRow`.
    """

    kind = models.CharField(_("kind"), max_length=8, choices=ProblemKind, default=ProblemKind.TEXT)
    title = models.TextField(_("title"))
    body = models.TextField(_("body (Markdown)"), blank=True)
    history = HistoricalRecords()

    class Meta(Row.Meta):
        verbose_name = _("problem detail")
        verbose_name_plural = _("problem details")

    def __str__(self) -> str:
        return self.title


class AccessRow(Row):
    """One vantage of the external-access table."""

    path = models.TextField(_("path"))
    result = models.TextField(_("result"), blank=True)
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
    text = models.TextField(_("cause"))
    history = HistoricalRecords()

    class Meta(Row.Meta):
        verbose_name = _("cause")
        verbose_name_plural = _("causes")

    def __str__(self) -> str:
        return self.text


class CodeProblem(Row):
    """Current against right behaviour of the code."""

    problem = models.TextField(_("problem"))
    current = models.TextField(_("current"), blank=True)
    right = models.TextField(_("right behaviour"), blank=True)
    history = HistoricalRecords()

    class Meta(Row.Meta):
        verbose_name = _("code problem")
        verbose_name_plural = _("code problems")

    def __str__(self) -> str:
        return self.problem


class EmergencyCommand(Row):
    """One immediate action: what it does and the command."""

    comment = models.TextField(_("comment"), blank=True)
    command = models.TextField(_("command"), blank=True)
    history = HistoricalRecords()

    class Meta(Row.Meta):
        verbose_name = _("emergency command")
        verbose_name_plural = _("emergency commands")

    def __str__(self) -> str:
        return self.command


class FixRow(Row):
    """One change to a file."""

    file = models.TextField(_("file"))
    change = models.TextField(_("change"), blank=True)
    priority = models.CharField(_("priority"), max_length=2, choices=Priority, default=Priority.P1)
    history = HistoricalRecords()

    class Meta(Row.Meta):
        verbose_name = _("code fix")
        verbose_name_plural = _("code fixes")

    def __str__(self) -> str:
        return f"{self.file}: {self.change}"


class ProxyChange(Row):
    """A proxy configuration change; ``body`` is Markdown with its code block."""

    title = models.TextField(_("title"), blank=True)
    body = models.TextField(_("body (Markdown)"))
    history = HistoricalRecords()

    class Meta(Row.Meta):
        verbose_name = _("proxy change")
        verbose_name_plural = _("proxy changes")

    def __str__(self) -> str:
        return self.title or self.body[:60]


class LongTermItem(Row):
    """One long-term improvement."""

    text = models.TextField(_("improvement"))
    history = HistoricalRecords()

    class Meta(Row.Meta):
        verbose_name = _("long-term improvement")
        verbose_name_plural = _("long-term improvements")

    def __str__(self) -> str:
        return self.text


class ReportFile(Row):
    """A report file and its path."""

    label = models.TextField(_("label"), blank=True)
    path = models.TextField(_("path"), blank=True)
    note = models.TextField(_("note"), blank=True)
    history = HistoricalRecords()

    class Meta(Row.Meta):
        verbose_name = _("report file")
        verbose_name_plural = _("report files")

    def __str__(self) -> str:
        return self.path


class ExtraSection(Row):
    """A section the layout does not know, kept as it was read."""

    heading = models.TextField(_("heading"), blank=True)
    level = models.PositiveSmallIntegerField(
        _("level"), default=2, help_text=_("0 for text without a heading.")
    )
    body = models.TextField(_("body (Markdown)"), blank=True)
    after = models.CharField(_("after section"), max_length=40, blank=True)
    history = HistoricalRecords()

    class Meta(Row.Meta):
        verbose_name = _("extra section")
        verbose_name_plural = _("extra sections")

    def __str__(self) -> str:
        return self.heading or self.body[:60]
