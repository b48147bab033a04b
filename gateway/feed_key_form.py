"""The admin's form for feed keys: rights are chosen from a list and typed one code a line, not as JSON."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextareaWidget

from gateway.feed_types import type_choices
from gateway.models import FeedKey, validate_items

#: Items that one key can be limited to.
ITEMS_MAX = 5000
#: How typed codes are told apart.
_BETWEEN = re.compile(r"[\s,;]+")


class ItemsField(forms.CharField):
    """Item codes between line breaks, spaces or commas; its value is a list without repetitions."""

    widget = UnfoldAdminTextareaWidget

    def prepare_value(self, value: Any) -> Any:
        """Show a stored list as one code a line."""
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        """Return the codes.

        Raises:
            ValidationError: a code is wrong, or there are too many.
        """
        codes = list(dict.fromkeys(code for code in _BETWEEN.split(super().to_python(value) or "") if code))
        if len(codes) > ITEMS_MAX:
            raise ValidationError(_("At most %(n)d items."), params={"n": ITEMS_MAX})
        validate_items(codes)
        return codes

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare codes, not the spaces between them."""
        try:
            return bool(self.to_python(data) != (initial or []))
        except ValidationError:
            return True


class FeedKeyForm(forms.ModelForm):  # type: ignore[type-arg] # subscriptable in the stubs only
    """Types as named check boxes, items as text."""

    types = forms.MultipleChoiceField(
        label=_("types"),
        choices=type_choices,
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=_("Real-time types the key may register; none chosen means all market data types."),
    )
    items = ItemsField(
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 5}),
        label=_("items"),
        required=False,
        help_text=_("Item codes the key may register, one a line; empty means every item."),
    )

    class Meta:
        model = FeedKey
        fields = ["name", "owner", "types", "items", "max_connections", "max_items", "expires_at"]
