"""The form of a channel: its address goes in, is checked and sealed, and never comes out again."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminPasswordWidget

from incidents import addresses, vault, webhook
from incidents.models import Channel, ChannelKind

#: What the form may choose; the rest comes from the environment.
KINDS = [(one.value, one.label) for one in (ChannelKind.APPRISE, ChannelKind.WEBHOOK)]


class ChannelForm(forms.ModelForm):  # type: ignore[type-arg] # subscriptable in the stubs only
    """Two write-only fields beside those of the row."""

    new_address = forms.CharField(
        label=_("address (write-only)"),
        required=False,
        max_length=addresses.LONGEST,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "off"}),
        help_text=_("Apprise address, or the https URL of a webhook. It is kept encrypted and never shown."),
    )
    new_secret = forms.CharField(
        label=_("signing secret (write-only)"),
        required=False,
        max_length=200,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "off"}),
        help_text=_("Webhooks only. Empty: a new channel gets one, which is shown once."),
    )

    class Meta:
        model = Channel
        fields = (
            *("name", "kind", "enabled", "language", "min_severity", "services", "hours_from", "hours_to"),
            *("weekdays_only", "step", "position", "per_hour"),
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "kind" in self.fields:
            self.fields["kind"].choices = KINDS  # type: ignore[attr-defined] # a choice field
        #: A secret that was made here, to be shown once.
        self.made_secret = ""

    def clean(self) -> dict[str, Any]:
        """Check the address as it will be used, and seal it."""
        cleaned: dict[str, Any] = super().clean() or {}
        if (cleaned.get("hours_from") is None) != (cleaned.get("hours_to") is None):
            self.add_error("hours_to", _("Give both times, or none."))
        kind = cleaned.get("kind") or self.instance.kind
        address = (cleaned.get("new_address") or "").strip()
        if not address and not self.instance.address:
            self.add_error("new_address", _("Enter the address."))
        elif address:
            self._take_address(kind, address)
        if kind == ChannelKind.WEBHOOK:
            self._take_secret((cleaned.get("new_secret") or "").strip())
        return cleaned

    def _take_address(self, kind: str, address: str) -> None:
        try:
            if kind == ChannelKind.WEBHOOK:
                host = addresses.webhook_host(address)
                addresses.check_target(host)
                shown = f"{addresses.scheme_of(address)}://{addresses.masked(host)}"
            else:
                known = addresses.understand(address)
                for host in known.hosts:
                    addresses.check_target(host)
                shown = known.shown
        except addresses.AddressRefused as error:
            self.add_error("new_address", ValidationError(str(error)))
            return
        self.instance.address = vault.seal(address)
        self.instance.shown_address = shown[:120]
        self.instance.address_set_at = timezone.now()

    def _take_secret(self, secret: str) -> None:
        if not secret and self.instance.signing_secret:
            return
        if not secret:
            secret = self.made_secret = webhook.new_secret()
        try:
            webhook.key_of(secret)
        except ValueError as error:
            self.add_error("new_secret", ValidationError(str(error)))
            return
        self.instance.signing_secret = vault.seal(secret)
