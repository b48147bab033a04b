"""History in coarser steps: one row per service (or endpoint) and minute, and one per hour.

A row holds the mean **and** the maximum of its window, so that a spike survives. ``at`` is the window's
start in UTC; a window has one row (a database constraint), which is computed anew when late data arrives.
"""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from portal.monitoring.models.probe import Endpoint
from portal.monitoring.models.service import Service


class Rollup(models.Model):
    """What every roll-up has."""

    at = models.DateTimeField(_("start of the window"))
    samples = models.PositiveIntegerField(_("samples"))

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M}"


class ServiceRollup(Rollup):
    """Readings of a service. ``None`` means that no sample had a value."""

    # The unique constraint's index begins with the service already.
    service = models.ForeignKey(
        Service, models.CASCADE, related_name="+", db_index=False, verbose_name=_("service")
    )
    # xgettext:no-python-format
    cpu_percent_mean = models.FloatField(_("mean CPU (% of one core)"), null=True)
    # xgettext:no-python-format
    cpu_percent_max = models.FloatField(_("highest CPU (% of one core)"), null=True)
    memory_bytes_mean = models.FloatField(_("mean memory (bytes)"), null=True)
    memory_bytes_max = models.FloatField(_("highest memory (bytes)"), null=True)
    log_lines_per_s_mean = models.FloatField(_("mean log lines/s"), null=True)
    log_lines_per_s_max = models.FloatField(_("highest log lines/s"), null=True)
    failing_streak_mean = models.FloatField(_("mean failing streak"), null=True)
    failing_streak_max = models.FloatField(_("highest failing streak"), null=True)
    restart_count_max = models.FloatField(_("restarts"), null=True)
    pids_max = models.FloatField(_("most processes and threads"), null=True)
    network_rx_bytes_per_s_mean = models.FloatField(_("mean network in (bytes/s)"), null=True)
    network_rx_bytes_per_s_max = models.FloatField(_("highest network in (bytes/s)"), null=True)
    network_tx_bytes_per_s_mean = models.FloatField(_("mean network out (bytes/s)"), null=True)
    network_tx_bytes_per_s_max = models.FloatField(_("highest network out (bytes/s)"), null=True)
    block_read_bytes_per_s_mean = models.FloatField(_("mean block read (bytes/s)"), null=True)
    block_read_bytes_per_s_max = models.FloatField(_("highest block read (bytes/s)"), null=True)
    block_write_bytes_per_s_mean = models.FloatField(_("mean block write (bytes/s)"), null=True)
    block_write_bytes_per_s_max = models.FloatField(_("highest block write (bytes/s)"), null=True)

    class Meta:
        abstract = True


class ServiceMinute(ServiceRollup):
    """One minute; kept 14 days."""

    class Meta:
        verbose_name = _("minute of a service")
        verbose_name_plural = _("minutes of services")
        constraints = [models.UniqueConstraint(fields=["service", "at"], name="one_row_per_service_minute")]


class ServiceHour(ServiceRollup):
    """One hour; kept 400 days."""

    class Meta:
        verbose_name = _("hour of a service")
        verbose_name_plural = _("hours of services")
        constraints = [models.UniqueConstraint(fields=["service", "at"], name="one_row_per_service_hour")]


class EndpointRollup(Rollup):
    """Probes of an endpoint; ``pass_rate`` is the share that passed, 0 to 1."""

    endpoint = models.ForeignKey(
        Endpoint, models.CASCADE, related_name="+", db_index=False, verbose_name=_("endpoint")
    )
    pass_rate = models.FloatField(_("share that passed"), null=True)
    latency_ms_mean = models.FloatField(_("mean latency (ms)"), null=True)
    latency_ms_max = models.FloatField(_("highest latency (ms)"), null=True)

    class Meta:
        abstract = True


class EndpointMinute(EndpointRollup):
    """One minute; kept 14 days."""

    class Meta:
        verbose_name = _("minute of an endpoint")
        verbose_name_plural = _("minutes of endpoints")
        constraints = [models.UniqueConstraint(fields=["endpoint", "at"], name="one_row_per_endpoint_minute")]


class EndpointHour(EndpointRollup):
    """One hour; kept 400 days."""

    class Meta:
        verbose_name = _("hour of an endpoint")
        verbose_name_plural = _("hours of endpoints")
        constraints = [models.UniqueConstraint(fields=["endpoint", "at"], name="one_row_per_endpoint_hour")]
