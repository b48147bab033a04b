"""The form of a checklist item: verifier, target and parameters are chosen; nobody writes JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from incidents import registry
from incidents.models import ChecklistItem
from incidents.registry import Parameter

#: Targets offered, and characters of a text parameter.
MAX_TARGETS = 500
MAX_TEXT = 200
SELECTED, MULTIPLE, DECIMAL = map(SafeString, (" selected", ' multiple size="6"', ' inputmode="decimal"'))
_SIZE = re.compile(r"[1-9]\d{0,11}(?:\.\d{1,3})?\s?[kmg]?(?:i?b)?", re.IGNORECASE)


def read(parameter: Parameter, raw: Any) -> Any:
    """Return the value that was typed for ``parameter``.

    Raises:
        ValidationError: it is none; the message says what is expected.
    """
    if parameter.kind == "choices":
        return _chosen(parameter, raw if isinstance(raw, list) else [])
    text = str(raw or "").strip()
    if not text:
        if parameter.required:
            raise ValidationError(_("%(name)s: a value is needed.") % {"name": parameter.label})
        return ""
    if parameter.kind == "choice":
        return _chosen(parameter, [text])[0]
    if parameter.kind in ("number", "integer"):
        return _number(parameter, text)
    if len(text) > MAX_TEXT or not text.isprintable():
        raise ValidationError(
            _("%(name)s: at most %(n)d printable characters.") % {"name": parameter.label, "n": MAX_TEXT}
        )
    if parameter.kind == "size" and not _SIZE.fullmatch(text):
        raise ValidationError(_("%(name)s: give a size such as 512m or 2g.") % {"name": parameter.label})
    return text


def _number(parameter: Parameter, text: str) -> float | int:
    try:
        value = int(text) if parameter.kind == "integer" else float(text)
    except ValueError:
        raise ValidationError(_("%(name)s: give a number.") % {"name": parameter.label}) from None
    least, most = parameter.least, parameter.most
    if not (least is None or value >= least) or not (most is None or value <= most):
        raise ValidationError(
            _("%(name)s: give a number from %(least)g to %(most)g.")
            % {"name": parameter.label, "least": least or 0, "most": most or 0}
        )
    return value


def _chosen(parameter: Parameter, values: Iterable[Any]) -> list[str]:
    offered = {str(value) for value, _label in (parameter.choices or list)()}
    chosen = [str(value) for value in values]
    if not chosen or not set(chosen) <= offered:
        raise ValidationError(_("%(name)s: choose from the list.") % {"name": parameter.label})
    return chosen


class ParametersWidget(forms.Widget):
    """Help and one group of inputs for each verifier; only those of the chosen verifier are read."""

    #: Whose parameters the stored value belongs to.
    verifier = ""

    class Media:
        js = (forms.Script("incidents/parameters.js", type="module"),)

    def value_from_datadict(self, data: Any, files: Any, name: str) -> dict[str, Any]:
        """Return the verifier that was chosen and what was typed for each of its parameters."""
        verifier = data.get(name.removesuffix("parameters") + "verifier", "")
        known = registry.verifiers().get(verifier)
        typed: dict[str, Any] = {}
        for one in known.parameters if known else ():
            key = f"{name}.{verifier}.{one.name}"
            typed[one.name] = data.getlist(key) if one.kind == "choices" else data.get(key)
        return {"verifier": verifier, "typed": typed}

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        """Never: a verifier without parameters sends none."""
        return False

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        """Return the groups."""
        if isinstance(value, Mapping) and "typed" in value:
            current, given = value["verifier"], value["typed"]
        else:
            current, given = self.verifier, value if isinstance(value, Mapping) else {}
        groups = []
        for verifier in registry.verifiers().values():
            values = {**verifier.defaults, **(given if verifier.name == current else {})}
            inputs = [
                self._input(f"{name}.{verifier.name}.{one.name}", one, values.get(one.name))
                for one in verifier.parameters
            ]
            if verifier.help:
                inputs.insert(0, format_html('<p class="p-small p-quiet">{}</p>', verifier.help))
            if inputs:
                fields = format_html_join("", "{}", ((one,) for one in inputs))
                groups.append((verifier.name, verifier.label, fields))
        return format_html_join(
            "",
            '<fieldset class="p-fields" data-parameters-in="{}" data-parameters-of="{}">'
            "<legend>{}</legend>{}</fieldset>",
            ((name, *group) for group in groups),
        )

    def _input(self, name: str, one: Parameter, value: Any) -> SafeString:
        ident = f"id_{name}".replace(".", "_")
        if one.kind in ("choice", "choices"):
            chosen = {str(part) for part in (value if isinstance(value, list | tuple) else [value])}
            options = format_html_join(
                "",
                '<option value="{}"{}>{}</option>',
                (
                    (key, SELECTED if str(key) in chosen else "", label)
                    for key, label in (one.choices or list)()
                ),
            )
            several = MULTIPLE if one.kind == "choices" else ""
            control = format_html(
                '<select class="p-input" name="{}" id="{}"{}>{}</select>', name, ident, several, options
            )
        else:
            number = DECIMAL if one.kind in ("number", "integer") else ""
            shown = "" if value is None else f"{value:g}" if isinstance(value, float) else value
            control = format_html(
                '<input class="p-input" type="text" name="{}" id="{}" value="{}" maxlength="{}"{}>',
                *(name, ident, shown, MAX_TEXT, number),
            )
        hint = format_html('<span class="p-small p-quiet">{}</span>', one.help) if one.help else ""
        return format_html(
            '<div class="p-field"><label for="{}">{}</label>{}{}</div>', ident, one.label, control, hint
        )


class ParametersField(forms.Field):
    """The parameters of the chosen verifier, each checked for its kind."""

    widget = ParametersWidget

    def clean(self, value: Any) -> dict[str, Any]:
        """Return the parameters by name.

        Raises:
            ValidationError: one of them is wrong; every wrong one is told.
        """
        known = registry.verifiers().get(value["verifier"]) if value else None
        cleaned: dict[str, Any] = {}
        problems: list[ValidationError] = []
        for one in known.parameters if known else ():
            try:
                cleaned[one.name] = read(one, value["typed"].get(one.name))
            except ValidationError as problem:
                problems.append(problem)
        if problems:
            raise ValidationError(problems)
        return cleaned

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Whether the values differ from the stored ones, of which those left out have their defaults."""
        known = registry.verifiers().get(data["verifier"]) if data else None
        if known is None:
            return bool(initial)
        try:
            return self.clean(data) != {**known.defaults, **(initial or {})}
        except ValidationError:
            return True


class TargetInput(forms.TextInput):
    """A text input with the known targets to choose from: services, slots, rules, public WebSockets."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        """Return the input and its list."""
        ident = f"targets_{name}"
        control = super().render(name, value, {**(attrs or {}), "list": ident}, renderer)
        options = format_html_join("", '<option value="{}">', ((one,) for one in targets()))
        return format_html('{}<datalist id="{}">{}</datalist>', control, ident, options)


def targets() -> list[str]:
    """Return what may be chosen as a target, of every verifier."""
    asked = {one.targets for one in registry.verifiers().values() if one.targets is not None}
    return sorted({name for ask in asked for name in ask()})[:MAX_TARGETS]


class ItemForm(forms.ModelForm):  # type: ignore[type-arg] # not subscriptable at run time
    """One item. Choosing another verifier, target or parameter makes what was seen worthless."""

    #: Fields that say what is looked at.
    LOOKED_AT = ("verifier", "target", "parameters")

    parameters = ParametersField(required=False, label=gettext_lazy("parameters"))

    class Meta:
        model = ChecklistItem
        fields = ("text", "priority", "owner", "due", "verifier", "target", "parameters")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        current = self.instance.verifier
        if "verifier" in self.fields:
            known = [(name, f"{verifier.label} ({name})") for name, verifier in registry.verifiers().items()]
            if current and current not in registry.verifiers():
                known.append((current, _("%(name)s (not available)") % {"name": current}))
            choices = [("", _("None: a person's claim")), *known]
            label = self.fields["verifier"].label
            self.fields["verifier"] = forms.ChoiceField(
                choices=choices, required=False, label=label, widget=self.select(choices)
            )
        if "target" in self.fields:
            self.fields["target"].widget = self.text()
        if "parameters" in self.fields:
            self.fields["parameters"].widget.verifier = current

    def select(self, choices: list[tuple[str, Any]]) -> forms.Select:
        """Return the widget of the verifier."""
        return forms.Select(choices=choices, attrs={"class": "p-input", "data-chooses-parameters": ""})

    def text(self) -> forms.TextInput:
        """Return the widget of the target."""
        return TargetInput(attrs={"class": "p-input"})

    @property
    def is_looked_at_anew(self) -> bool:
        """Whether what was seen until now proves nothing any more."""
        return bool(set(self.changed_data) & set(self.LOOKED_AT))
