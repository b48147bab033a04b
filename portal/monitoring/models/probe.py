"""Endpoints and what their probes saw."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from portal.monitoring.models.service import Service


class ProbeKind(models.TextChoices):
    """How an endpoint is asked."""

    HTTP = "http", "HTTP"
    WEBSOCKET = "websocket", "WebSocket"


class Vantage(models.TextChoices):
    """From where an endpoint is reached; the pattern over vantages locates a fault."""

    INSIDE = "inside", _("Inside")
    HOST = "host", _("Host")
    PUBLIC = "public", _("Public address")
    DOMAIN = "domain", _("Domain")


class Endpoint(models.Model):
    """One URL of a service, probed on every beat of ``monitoring.probe``.

    A container's labels ``bonghwa.http`` and ``bonghwa.ws`` make one each.
    """

    service = models.ForeignKey(
        Service, models.CASCADE, null=True, blank=True, related_name="endpoints", verbose_name=_("service")
    )
    name = models.CharField(_("name"), max_length=200)
    kind = models.CharField(_("kind"), max_length=10, choices=ProbeKind)
    vantage = models.CharField(_("vantage"), max_length=10, choices=Vantage, default=Vantage.HOST)
    url = models.CharField(_("URL"), max_length=500)
    expected_status = models.PositiveSmallIntegerField(_("expected status"), default=200)
    timeout_s = models.FloatField(_("timeout (s)"), default=10.0)
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
    enabled = models.BooleanField(_("enabled"), default=True)
    from_label = models.BooleanField(_("from a label"), default=False, editable=False)
    at = models.DateTimeField(_("probed"), null=True, blank=True, editable=False)
    ok = models.BooleanField(_("passing"), null=True, editable=False)
    latency_ms = models.FloatField(_("latency (ms)"), null=True, editable=False)
    detail = models.CharField(_("result"), max_length=300, blank=True, editable=False)

    class Meta:
        verbose_name = _("endpoint")
        verbose_name_plural = _("endpoints")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["kind", "url"], name="one_endpoint_per_url")]

    def __str__(self) -> str:
        return self.name


class ProbeResult(models.Model):
    """One probe; pruned after 14 days in batches."""

    endpoint = models.ForeignKey(Endpoint, models.CASCADE, related_name="results", verbose_name=_("endpoint"))
    at = models.DateTimeField(_("time"))
    ok = models.BooleanField(_("passing"))
    latency_ms = models.FloatField(_("latency (ms)"), null=True)
    detail = models.CharField(_("result"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("probe result")
        verbose_name_plural = _("probe results")
        indexes = [models.Index(fields=["endpoint", "-at"], name="probe_latest")]

    def __str__(self) -> str:
        return f"{self.endpoint_id} {self.detail}"
