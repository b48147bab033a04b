"""Endpoints and what their probes saw."""

from __future__ import annotations

from datetime import datetime

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from portal.monitoring.logs import mask_secrets
from portal.monitoring.models.prober import Prober
from portal.monitoring.models.service import Service
from portal.monitoring.models.vantage import Vantage


class ProbeKind(models.TextChoices):
    """How an endpoint is asked."""

    HTTP = "http", "HTTP"
    WEBSOCKET = "websocket", "WebSocket"
    TLS = "tls", "TLS"
    TCP = "tcp", "TCP"


#: Fields that probes write; they are no part of an endpoint's history.
_SEEN = (
    "at", "ok", "latency_ms", "detail", "status", "first_frame_ms", "close_code", "expires_at",
    "next_at", "stale_at", "failures",
)  # fmt: skip


class Endpoint(models.Model):
    """One purpose of a service as it is reached from one vantage.

    Rows with the same service and purpose are one line of the service's matrix, with a column for each
    vantage. A container's labels ``bonghwa.http``, ``.ws``, ``.tls`` and ``.tcp`` make one each.
    """

    service = models.ForeignKey(
        Service, models.CASCADE, null=True, blank=True, related_name="endpoints", verbose_name=_("service")
    )
    name = models.CharField(_("name"), max_length=200)
    purpose = models.CharField(
        _("purpose"),
        max_length=100,
        blank=True,
        help_text=_("What it serves, e.g. API. The same purpose from several vantages is one line."),
    )
    kind = models.CharField(_("kind"), max_length=10, choices=ProbeKind)
    vantage = models.CharField(_("vantage"), max_length=10, choices=Vantage, default=Vantage.HOST)
    prober = models.ForeignKey(
        Prober,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="endpoints",
        verbose_name=_("prober"),
        help_text=_("Who probes it; empty for this portal itself."),
    )
    url = models.CharField(_("URL"), max_length=500)
    host = models.CharField(
        _("host name to present"),
        max_length=253,
        blank=True,
        help_text=_("When the URL has an address: the name for the Host header and for TLS."),
    )
    expected_status = models.PositiveSmallIntegerField(_("expected status"), default=200)
    body_contains = models.CharField(
        _("body contains"),
        max_length=200,
        blank=True,
        help_text=_("HTTP: text that the first 64 KiB of the body must hold."),
    )
    timeout_s = models.FloatField(
        _("timeout (s)"), default=10.0, validators=[MinValueValidator(0.1), MaxValueValidator(10.0)]
    )
    interval_s = models.FloatField(
        _("interval (s)"),
        default=60.0,
        validators=[MinValueValidator(10.0), MaxValueValidator(3600.0)],
        help_text=_("Between two probes while it passes; at most 20 s while it fails."),
    )
    expect_frame = models.BooleanField(
        _("expects a frame"),
        default=True,
        help_text=_("WebSocket: fails when no frame comes within 5 seconds of the handshake."),
    )
    send = models.CharField(
        _("frame to send"),
        max_length=500,
        blank=True,
        help_text=_("WebSocket: text sent after the handshake, for servers that speak only when asked."),
    )
    min_days = models.PositiveSmallIntegerField(
        _("days that a certificate must last"),
        default=14,
        help_text=_("TLS: fails when the certificate ends sooner."),
    )
    enabled = models.BooleanField(_("enabled"), default=True)
    from_label = models.BooleanField(_("from a label"), default=False, editable=False)
    at = models.DateTimeField(_("probed"), null=True, blank=True, editable=False)
    ok = models.BooleanField(_("passing"), null=True, editable=False)
    latency_ms = models.FloatField(_("latency (ms)"), null=True, editable=False)
    detail = models.CharField(_("result"), max_length=300, blank=True, editable=False)
    status = models.PositiveSmallIntegerField(_("status seen"), null=True, editable=False)
    first_frame_ms = models.FloatField(_("first frame (ms)"), null=True, editable=False)
    close_code = models.PositiveSmallIntegerField(_("close code"), null=True, editable=False)
    expires_at = models.DateTimeField(_("certificate ends"), null=True, editable=False)
    next_at = models.DateTimeField(_("next probe"), null=True, editable=False, db_index=True)
    stale_at = models.DateTimeField(_("result counts until"), null=True, editable=False)
    failures = models.PositiveIntegerField(_("failures in a row"), default=0, editable=False)

    history = HistoricalRecords(excluded_fields=_SEEN)

    class Meta:
        verbose_name = _("endpoint")
        verbose_name_plural = _("endpoints")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "url"], condition=Q(prober=None), name="one_endpoint_per_url"
            ),
            models.UniqueConstraint(
                fields=["kind", "url", "prober"],
                condition=Q(prober__isnull=False),
                name="one_endpoint_per_url_and_prober",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def masked_url(self) -> str:
        """The URL without the secrets in it."""
        return mask_secrets(self.url)

    @property
    def line(self) -> str:
        """Which line of the matrix it belongs to."""
        return self.purpose or self.name

    def passing(self, now: datetime | None = None) -> bool | None:
        """Whether it passes at ``now``; None without a result that still counts."""
        now = now or timezone.now()
        return None if self.stale_at is not None and self.stale_at < now else self.ok

    @property
    def passing_now(self) -> bool | None:
        """:meth:`passing` for templates."""
        return self.passing()


class ProbeResult(models.Model):
    """One probe; pruned after 14 days in batches.

    ``pending`` marks one that was pushed and waits for the worker to evaluate the rules on it.
    """

    endpoint = models.ForeignKey(Endpoint, models.CASCADE, related_name="results", verbose_name=_("endpoint"))
    at = models.DateTimeField(_("time"))
    ok = models.BooleanField(_("passing"))
    latency_ms = models.FloatField(_("latency (ms)"), null=True)
    first_frame_ms = models.FloatField(_("first frame (ms)"), null=True)
    status = models.PositiveSmallIntegerField(_("status seen"), null=True)
    close_code = models.PositiveSmallIntegerField(_("close code"), null=True)
    detail = models.CharField(_("result"), max_length=300, blank=True)
    pending = models.BooleanField(_("waits for the rules"), default=False)

    class Meta:
        verbose_name = _("probe result")
        verbose_name_plural = _("probe results")
        indexes = [
            models.Index(fields=["endpoint", "-at"], name="probe_latest"),
            models.Index(fields=["at"], condition=Q(pending=True), name="probe_pending"),
        ]

    def __str__(self) -> str:
        return f"{self.endpoint_id} {self.detail}"
