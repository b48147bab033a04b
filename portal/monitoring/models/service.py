"""A watched service, its latest state (one row, updated in place) and its history."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class RuntimeKind(models.TextChoices):
    """Where a service runs."""

    DOCKER = "docker", "Docker"
    PROCESS = "process", _("Process")


class RunState(models.TextChoices):
    """What the runtime says. ``gone``: it was removed; ``unknown``: the runtime does not answer."""

    RUNNING = "running", _("Running")
    RESTARTING = "restarting", _("Restarting")
    PAUSED = "paused", _("Paused")
    EXITED = "exited", _("Exited")
    GONE = "gone", _("Removed")
    UNKNOWN = "unknown", _("Unknown")


class Health(models.TextChoices):
    """Health check's verdict."""

    HEALTHY = "healthy", _("Healthy")
    UNHEALTHY = "unhealthy", _("Unhealthy")
    STARTING = "starting", _("Starting")
    NONE = "none", _("No health check")


class Service(models.Model):
    """One container or process, discovered by the collector and identified by runtime and name."""

    runtime = models.CharField(_("runtime"), max_length=10, choices=RuntimeKind)
    name = models.CharField(_("name"), max_length=200)
    runtime_id = models.CharField(_("runtime id"), max_length=128, blank=True)
    image = models.CharField(_("image"), max_length=300, blank=True)
    labels = models.JSONField(_("labels"), default=dict, blank=True)
    enabled = models.BooleanField(_("watched"), default=True)
    resolve_after_s = models.FloatField(
        _("resolve window (s)"),
        null=True,
        blank=True,
        help_text=_(
            "Seconds of green before its incident resolves; empty for the default. "
            "The label bonghwa.resolve-after sets it."
        ),
    )
    depends_on = models.ManyToManyField(
        "self",
        symmetrical=False,
        blank=True,
        related_name="dependents",
        verbose_name=_("depends on"),
        help_text=_(
            "While one of these fails, this service's alerts attach to its incident. "
            "The label bonghwa.depends-on adds names."
        ),
    )
    discovered_at = models.DateTimeField(_("discovered"))

    class Meta:
        verbose_name = _("service")
        verbose_name_plural = _("services")
        ordering = ["runtime", "name"]
        constraints = [models.UniqueConstraint(fields=["runtime", "name"], name="one_service_per_name")]

    def __str__(self) -> str:
        return self.name


class ServiceState(models.Model):
    """Latest reading of a service; list pages read only this. ``None`` means no data."""

    service = models.OneToOneField(
        Service, models.CASCADE, related_name="state", primary_key=True, verbose_name=_("service")
    )
    at = models.DateTimeField(_("measured"))
    state = models.CharField(_("state"), max_length=12, choices=RunState, default=RunState.UNKNOWN)
    exit_code = models.IntegerField(_("exit code"), null=True, blank=True)
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    finished_at = models.DateTimeField(_("ended"), null=True, blank=True)
    stopped_on_purpose = models.BooleanField(_("stopped on purpose"), null=True, blank=True)
    health = models.CharField(_("health"), max_length=10, choices=Health, default=Health.NONE)
    failing_streak = models.PositiveIntegerField(_("failing streak"), default=0)
    health_output = models.TextField(_("last health output"), blank=True)
    health_interval_s = models.FloatField(_("health interval (s)"), null=True, blank=True)
    # xgettext:no-python-format
    cpu_percent = models.FloatField(_("CPU (% of one core)"), null=True, blank=True)
    cpu_limit_cores = models.FloatField(_("CPU limit (cores)"), null=True, blank=True)
    memory_bytes = models.BigIntegerField(_("memory (bytes)"), null=True, blank=True)
    memory_limit_bytes = models.BigIntegerField(_("memory limit (bytes)"), null=True, blank=True)
    host_cores = models.PositiveIntegerField(_("cores of the host"), null=True, blank=True)
    pids = models.PositiveIntegerField(_("processes and threads"), null=True, blank=True)
    network_rx_bytes_per_s = models.FloatField(_("network in (bytes/s)"), null=True, blank=True)
    network_tx_bytes_per_s = models.FloatField(_("network out (bytes/s)"), null=True, blank=True)
    block_read_bytes_per_s = models.FloatField(_("block read (bytes/s)"), null=True, blank=True)
    block_write_bytes_per_s = models.FloatField(_("block write (bytes/s)"), null=True, blank=True)
    memory_points = models.JSONField(
        _("memory by half minute"), default=dict, blank=True, help_text=_("Half minute to MiB, 30 minutes.")
    )
    restart_count = models.PositiveIntegerField(_("restarts"), default=0)
    recent_restarts = models.PositiveIntegerField(_("restarts in 10 minutes"), default=0)
    log_lines_per_s = models.FloatField(_("log lines/s"), null=True, blank=True)
    log_rate_is_lower_bound = models.BooleanField(_("log rate is a lower bound"), default=False)
    log_lines_total = models.BigIntegerField(_("log lines counted"), default=0)
    log_window = models.JSONField(
        _("log lines by minute"), default=dict, blank=True, help_text=_("Unix minute to lines, 10 minutes.")
    )
    top_template = models.CharField(_("top log template"), max_length=500, blank=True)
    top_template_count = models.BigIntegerField(_("count of the top template"), default=0)
    top_template_share = models.FloatField(_("share of the top template"), null=True, blank=True)
    rising_template = models.CharField(_("rising log template"), max_length=500, blank=True)
    rising_factor = models.FloatField(
        _("rise of that template"), null=True, blank=True, help_text=_("Times its own baseline.")
    )
    config_hash = models.CharField(_("configuration hash"), max_length=64, blank=True)
    inspect = models.JSONField(_("allow-listed configuration"), default=dict, blank=True)
    error = models.CharField(_("collector error"), max_length=300, blank=True)

    class Meta:
        verbose_name = _("service state")
        verbose_name_plural = _("service states")

    def __str__(self) -> str:
        return f"{self.service_id} {self.state}"

    @property
    def cpu_of_host(self) -> float | None:
        """CPU in percent of all the host's cores."""
        if self.cpu_percent is None or not self.host_cores:
            return None
        return self.cpu_percent / self.host_cores


class Observation(models.Model):
    """One sweep's reading of a service; pruned after 48 h in batches."""

    service = models.ForeignKey(
        Service, models.CASCADE, related_name="observations", verbose_name=_("service")
    )
    at = models.DateTimeField(_("time"))
    # xgettext:no-python-format
    cpu_percent = models.FloatField(_("CPU (% of one core)"), null=True)
    memory_bytes = models.BigIntegerField(_("memory (bytes)"), null=True)
    failing_streak = models.PositiveIntegerField(_("failing streak"), default=0)
    restart_count = models.PositiveIntegerField(_("restarts"), default=0)
    log_lines_per_s = models.FloatField(_("log lines/s"), null=True)
    pids = models.PositiveIntegerField(_("processes and threads"), null=True)
    network_rx_bytes_per_s = models.FloatField(_("network in (bytes/s)"), null=True)
    network_tx_bytes_per_s = models.FloatField(_("network out (bytes/s)"), null=True)
    block_read_bytes_per_s = models.FloatField(_("block read (bytes/s)"), null=True)
    block_write_bytes_per_s = models.FloatField(_("block write (bytes/s)"), null=True)

    class Meta:
        verbose_name = _("observation")
        verbose_name_plural = _("observations")
        indexes = [models.Index(fields=["service", "-at"], name="observation_latest")]

    def __str__(self) -> str:
        return f"{self.service_id} {self.at:%H:%M:%S}"


class LogTemplate(models.Model):
    """One masked log template of a service with its count over the last 10 minutes; at most 20 kept."""

    service = models.ForeignKey(Service, models.CASCADE, related_name="templates", verbose_name=_("service"))
    fingerprint = models.CharField(_("fingerprint"), max_length=32)
    template = models.CharField(_("template"), max_length=500)
    sample = models.CharField(_("sample"), max_length=500, blank=True)
    count = models.BigIntegerField(_("count"), default=0)
    minutes = models.JSONField(_("count by minute"), default=dict, blank=True)
    baseline = models.FloatField(
        _("baseline (lines/min)"), null=True, blank=True, help_text=_("Its own mean, kept while it rises.")
    )
    rising_since = models.DateTimeField(_("rising since"), null=True, blank=True)
    first_seen = models.DateTimeField(_("first seen"))
    last_seen = models.DateTimeField(_("last seen"))
    #: Times its baseline in the reading that was just stored; not kept.
    rise: float = 0.0

    class Meta:
        verbose_name = _("log template")
        verbose_name_plural = _("log templates")
        ordering = ["-count"]
        constraints = [
            models.UniqueConstraint(fields=["service", "fingerprint"], name="one_row_per_log_template")
        ]

    def __str__(self) -> str:
        return f"{self.count} × {self.template}"
