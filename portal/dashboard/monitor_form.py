"""The form of one monitor: what is asked, from where, and what is expected; checked for its kind."""

from __future__ import annotations

import ipaddress
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from portal.monitoring import probing
from portal.monitoring.logs import mask_secrets
from portal.monitoring.models import Endpoint, Prober, Service
from portal.monitoring.probes.urls import SCHEMES, BadUrl, Place, parse

#: How masked secrets look; whoever keeps one in a changed text has to type the whole text again.
MASK = "[secret]"
_PROBLEMS = {
    "shape": _("Give a URL without spaces, at most 500 characters."),
    "host": _("The URL has no host."),
    "port": _("Give a port between 1 and 65535, e.g. tcp://db.example.com:5432."),
}
#: Fields whose stored value may hold a secret: shown masked, kept when it comes back as shown.
SECRET_FIELDS = ("url", "send")


class MonitorForm(forms.ModelForm):  # type: ignore[type-arg] # subscriptable in the stubs only
    """Fields that do not concern the chosen kind are kept but not used."""

    class Meta:
        model = Endpoint
        fields = [
            "name", "service", "purpose", "kind", "vantage", "prober", "url", "host", "expected_status",
            "body_contains", "expect_frame", "send", "min_days", "timeout_s", "interval_s", "enabled",
        ]  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stored = {name: str(getattr(self.instance, name)) for name in SECRET_FIELDS}
        self.initial.update({name: mask_secrets(text) for name, text in self._stored.items()})
        usable = Q(revoked_at=None) | Q(pk=self.instance.prober_id)
        self._choose("prober", Prober.objects.filter(usable), _("This portal"))
        self._choose("service", Service.objects.filter(enabled=True), _("No service"))
        if self.instance.from_label:
            for name in ("kind", "url", "service", "prober"):
                self.fields[name].disabled = True
        for name, field in self.fields.items():
            widget = field.widget
            if not isinstance(widget, forms.CheckboxInput):
                widget.attrs["class"] = "p-input"
            if field.help_text:
                widget.attrs["aria-describedby"] = f"help_{name}"

    def _choose(self, name: str, among: QuerySet[Any], without: Any) -> None:
        field = self.fields[name]
        if not isinstance(field, forms.ModelChoiceField):
            raise AssertionError("both are foreign keys")
        field.queryset, field.empty_label = among, without

    def clean_send(self) -> str:
        """Return what was typed, or what is stored when it came back masked."""
        return self._unmasked("send")

    def clean_url(self) -> str:
        """Return what was typed, or what is stored when it came back masked."""
        return self._unmasked("url")

    def _unmasked(self, name: str) -> str:
        given: str = self.cleaned_data[name]
        stored = self._stored[name]
        if self.fields[name].disabled or (given != stored and given == mask_secrets(stored)):
            return stored
        if MASK in given:
            raise ValidationError(
                _("Type the whole text again: the hidden part cannot be kept in a new one.")
            )
        return given

    def clean(self) -> dict[str, Any]:
        """Check that the URL fits the kind, and that the portal may probe an address that is typed out."""
        data: dict[str, Any] = super().clean() or self.cleaned_data
        kind, url = data.get("kind"), data.get("url")
        if not kind or not url:
            return data
        try:
            place = parse(kind, url)
        except BadUrl as problem:
            wanted = " / ".join(f"{scheme}://" for scheme in SCHEMES[kind])
            schemes = _("The URL must begin with %(schemes)s.") % {"schemes": wanted}
            self.add_error("url", _PROBLEMS.get(problem.code, schemes))
            return data
        if data.get("prober") is None and not self.instance.from_label:
            self._check_address(place)
        if not self.has_error("url"):
            self._check_unique(data)
        return data

    def _check_address(self, place: Place) -> None:
        """Refuse at once what every probe would refuse; names are looked at when they are probed."""
        if not place.is_literal:
            return
        if probing.guard().policy.objection(place.host, ipaddress.ip_address(place.host)):
            text = _(
                "%(address)s is an internal or special address. An administrator can allow it with "
                "PROBE_ALLOW; a container's own address is given by its label bonghwa.%(label)s."
            )
            label = {"websocket": "ws"}.get(self.cleaned_data["kind"], self.cleaned_data["kind"])
            self.add_error("url", text % {"address": place.host, "label": label})

    def _check_unique(self, data: dict[str, Any]) -> None:
        """Say in a person's words what the database would refuse."""
        same = Endpoint.objects.filter(kind=data["kind"], url=data["url"], prober=data.get("prober"))
        if found := same.exclude(pk=self.instance.pk).first():
            self.add_error("url", _("%(name)s probes this URL already.") % {"name": found.name})
