"""Feed keys, the market days that people enter, and the commands that people gave the gateway."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from gateway.feed_frames import MARKET_TYPES, is_item
from gateway.protocol import PRIVATE_TYPES


def digest(secret: str) -> str:
    """Return the SHA-256 of ``secret`` in hexadecimal.

    Secrets, tokens and tickets hold 256 random bits, which no dictionary contains: a slow password hash
    would add nothing against guessing, and would let anyone burn this server's CPU through /oauth2/token.
    """
    return hashlib.sha256(secret.encode()).hexdigest()


def validate_types(value: Any) -> None:
    """Refuse anything but a list of real-time types that can be shared.

    Raises:
        ValidationError: the list holds something else.
    """
    if not isinstance(value, list) or any(not isinstance(code, str) for code in value):
        raise ValidationError(_('Give a list of type codes, for example ["0B", "0D"].'))
    if private := PRIVATE_TYPES.intersection(value):
        raise ValidationError(
            _("Account types are never shared: %(types)s."), params={"types": ", ".join(sorted(private))}
        )
    if unknown := set(value) - MARKET_TYPES:
        raise ValidationError(
            _("Unknown real-time types: %(types)s."), params={"types": ", ".join(sorted(unknown))}
        )


def validate_items(value: Any) -> None:
    """Refuse anything but a list of item codes.

    Raises:
        ValidationError: the list holds something else.
    """
    if not isinstance(value, list) or any(not isinstance(item, str) or not is_item(item) for item in value):
        raise ValidationError(_('Give a list of item codes, for example ["005930", "000660"].'))


class FeedKeyQuerySet(models.QuerySet["FeedKey"]):
    """Sets of feed keys."""

    def usable(self, now: datetime) -> FeedKeyQuerySet:
        """Keys that are neither revoked nor expired at ``now``."""
        return self.filter(revoked_at=None).exclude(expires_at__lte=now)


class FeedKey(models.Model):
    """One end user's key pair for ``/oauth2/token``. The secret is shown once and kept as a hash."""

    name = models.CharField(_("name"), max_length=100, unique=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("owner"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="feed_keys",
    )
    app_key = models.CharField(_("app key"), max_length=64, unique=True, editable=False)
    secret_sha256 = models.CharField(max_length=64, editable=False)
    types = models.JSONField(
        _("types"),
        default=list,
        blank=True,
        validators=[validate_types],
        help_text=_("Real-time types the key may register; empty means all market data types."),
    )
    items = models.JSONField(
        _("items"),
        default=list,
        blank=True,
        validators=[validate_items],
        help_text=_("Items the key may register; empty means every item."),
    )
    max_connections = models.PositiveIntegerField(
        _("connections at most"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_("Empty means the site's limit, FEED_MAX_CONNECTIONS_PER_KEY."),
    )
    max_items = models.PositiveIntegerField(
        _("items per connection at most"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_("Empty means the site's limit, FEED_MAX_TOPICS."),
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True, editable=False)

    objects = FeedKeyQuerySet.as_manager()
    history = HistoricalRecords(excluded_fields=["secret_sha256", "last_used_at"])

    class Meta:
        verbose_name = _("feed key")
        verbose_name_plural = _("feed keys")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def make_secret(self) -> str:
        """Give the row a new key pair and return the secret, which is not kept. Does not save."""
        secret = secrets.token_urlsafe(32)
        self.app_key = secrets.token_urlsafe(32)
        self.secret_sha256 = digest(secret)
        return secret

    def has_secret(self, secret: str) -> bool:
        """Tell whether ``secret`` is this key's, in constant time."""
        return hmac.compare_digest(self.secret_sha256, digest(secret))

    def is_usable(self, now: datetime) -> bool:
        """Tell whether the key may be used at ``now``."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


class MarketDay(models.Model):
    """A day on which a venue does not trade as the calendar thinks."""

    class Venue(models.TextChoices):
        """Venues whose rows the gateway carries."""

        KRX = "KRX", "KRX"
        NXT = "NXT", "NXT"

    venue = models.CharField(_("venue"), max_length=3, choices=Venue, default=Venue.KRX)
    date = models.DateField(_("date"))
    closed = models.BooleanField(
        _("no trading"), default=False, help_text=_("The venue does not trade at all.")
    )
    opens = models.TimeField(
        _("opens"), null=True, blank=True, help_text=_("Korean time; empty with an empty end means as usual.")
    )
    closes = models.TimeField(_("closes"), null=True, blank=True, help_text=_("Korean time."))
    note = models.CharField(_("note"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("market day")
        verbose_name_plural = _("market days")
        ordering = ["-date", "venue"]
        constraints = [
            models.UniqueConstraint(fields=["venue", "date"], name="one_market_day_per_venue_and_date"),
            models.CheckConstraint(
                name="market_day_closed_or_with_hours",
                condition=models.Q(opens=None, closes=None)
                | models.Q(
                    closed=False, opens__isnull=False, closes__isnull=False, closes__gt=models.F("opens")
                ),
                violation_error_message=_(
                    "Give a closed day no hours; otherwise give both the start and a later end, or neither."
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.venue} {self.date:%Y-%m-%d}"


class GatewayCommand(models.Model):
    """What somebody asked of a slot, and why. Rows are added and never changed by people."""

    class Outcome(models.TextChoices):
        """What became of it on its way to the gateway."""

        ASKED = "asked", _("asked")
        QUEUED = "queued", _("queued for the gateway")
        UNDELIVERED = "undelivered", _("not delivered: Redis did not answer")

    at = models.DateTimeField(_("when"), auto_now_add=True, editable=False)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("account"),
        null=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    who = models.CharField(_("who"), max_length=150, editable=False)
    verb = models.CharField(_("command"), max_length=20, editable=False)
    slot = models.CharField(_("slot"), max_length=40, editable=False)
    reason = models.CharField(_("reason"), max_length=200, editable=False)
    outcome = models.CharField(
        _("outcome"), max_length=12, choices=Outcome, default=Outcome.ASKED, editable=False
    )

    class Meta:
        verbose_name = _("gateway command")
        verbose_name_plural = _("gateway commands")
        ordering = ["-at", "-pk"]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.verb} {self.slot}"


class Outcome(models.TextChoices):
    """What came of a request to disconnect."""

    SENT = "sent", _("requested")
    DONE = "done", _("disconnected")
    GONE = "gone", _("was gone already")
    NO_ANSWER = "no-answer", _("no answer")


class FeedDisconnection(models.Model):
    """One connection that an operator ended: who, which, why, and what came of it.

    A row is written before the request is sent; only ``outcome`` is changed afterwards.
    """

    at = models.DateTimeField(_("time"), auto_now_add=True, db_index=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("person"),
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    actor_name = models.CharField(_("person's name then"), max_length=150)
    process = models.CharField(_("process"), max_length=200)
    connection = models.CharField(_("connection"), max_length=40)
    key_name = models.CharField(_("feed key"), max_length=100, blank=True)
    address = models.CharField(_("address"), max_length=64, blank=True)
    reason = models.CharField(_("reason"), max_length=200)
    may_return = models.BooleanField(_("may come back"), default=True)
    outcome = models.CharField(_("outcome"), max_length=10, choices=Outcome.choices, default=Outcome.SENT)

    class Meta:
        verbose_name = _("disconnection")
        verbose_name_plural = _("disconnections")
        ordering = ["-at", "-pk"]

    def __str__(self) -> str:
        return f"{self.key_name or self.connection} ({self.address})"
