"""The prevention checklist in the admin: who, until when, what was seen."""

from __future__ import annotations

from datetime import date, timedelta
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.admin import StackedInline, TabularInline
from unfold.widgets import UnfoldAdminSelectWidget

from incidents import checklist, differences
from incidents.admin.base import LABELS, SHORT_TEXT, GuardedAdmin, HistoryAdmin, action, display
from incidents.errors import IncidentError
from incidents.item_form import ItemForm
from incidents.models import (
    ChecklistItem,
    ItemPack,
    ItemState,
    PackItem,
    Priority,
    VerificationRun,
)

#: Fields that only editors change.
EDITED = ("text", "priority", *ItemForm.LOOKED_AT)
WAIVER = frozenset({"waiver_reason", "waived_until"})
#: States in which a measure still waits for somebody.
WAITING = (ItemState.OPEN, ItemState.CLAIMED, ItemState.FAILING, ItemState.STALE)


class DueFilter(admin.SimpleListFilter):
    """Overdue, due soon, without a date."""

    title = gettext_lazy("due")
    parameter_name = "due"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the three questions."""
        return [("overdue", _("Overdue")), ("week", _("Due within 7 days")), ("none", _("Without a date"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ChecklistItem]) -> QuerySet[ChecklistItem]:
        """Apply the answer."""
        today = timezone.localdate()
        match self.value():
            case "overdue":
                return queryset.filter(due__lt=today, state__in=WAITING)
            case "week":
                return queryset.filter(due__range=(today, today + timedelta(days=7)), state__in=WAITING)
            case "none":
                return queryset.filter(due=None)
            case _:
                return queryset


class OwnerFilter(admin.SimpleListFilter):
    """Mine, or nobody's."""

    title = gettext_lazy("owner")
    parameter_name = "whose"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Offer the two questions."""
        return [("mine", _("Mine")), ("nobody", _("Nobody's"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ChecklistItem]) -> QuerySet[ChecklistItem]:
        """Apply the answer."""
        if self.value() == "mine":
            return queryset.filter(owner=request.user.pk)
        return queryset.filter(owner=None) if self.value() == "nobody" else queryset


class AdminItemForm(ItemForm):
    """The form in the admin's look."""

    def select(self, choices: list[tuple[str, Any]]) -> forms.Select:
        """Return the widget of the verifier."""
        widget: forms.Select = UnfoldAdminSelectWidget(choices=choices, attrs={"data-chooses-parameters": ""})
        return widget

    def clean_waived_until(self) -> date | None:
        """Return the day. One that is too far is refused before anything is written."""
        until: date | None = self.cleaned_data["waived_until"]
        given = until if "waived_until" in self.changed_data else None
        if given and (why := checklist.too_far(given, timezone.localdate())):
            raise forms.ValidationError(why)
        return until


class RunInline(TabularInline):  # type: ignore[misc] # unfold carries no types
    """What each run saw; bounded by what the checklist keeps."""

    model = VerificationRun
    fields = readonly_fields = ("at", "outcome", "observed", "method", "trigger")
    extra = 0
    can_delete = False
    tab = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody; verifiers do."""
        return False


@admin.register(ChecklistItem)
class ChecklistItemAdmin(HistoryAdmin):
    """State and what was observed are read-only; buttons claim, verify, waive or take back."""

    form = AdminItemForm
    list_display = (
        *("text", "incident", "shown_priority", "shown_state", "owner", "due", "observed", "checked_at"),
        "verifier",
    )
    list_filter = ("state", "priority", DueFilter, OwnerFilter, "verifier", "target")
    list_select_related = ("report__incident", "owner")
    search_fields = ("text", "observed", "target", "=report__incident__number")
    autocomplete_fields = ("owner",)
    list_editable = ("owner", "due")
    actions = ("claim_selected", "verify_selected", "take_selected")
    actions_submit_line = ("claim", "verify", "waive", "take_back")
    inlines = (RunInline,)
    readonly_fields = ("report", "state", "observed", "checked_at", "failures", "waived_by", "changed")
    formfield_overrides = {**GuardedAdmin.formfield_overrides, **SHORT_TEXT}
    fieldsets = (
        (None, {"fields": ("report", "text", ("priority", "owner"), "due", ("state", "failures"))}),
        (
            gettext_lazy("Verification"),
            {"fields": (("verifier", "target"), "parameters", ("observed", "checked_at"), "changed")},
        ),
        (gettext_lazy("Waiver"), {"fields": ("waiver_reason", ("waived_until", "waived_by"))}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: ChecklistItem | None = None) -> Any:
        """What a measure is and how it is verified is for editors; operators work on it."""
        fixed = super().get_readonly_fields(request, obj)
        return fixed if self.has_add_permission(request) else (*fixed, *EDITED)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Open a measure again that is verified in another way now."""
        if not change and obj.due is None:
            obj.due = checklist.due_for(obj.priority, timezone.localdate())
        waiver = WAIVER.intersection(form.changed_data) if change and obj.state == ItemState.WAIVED else set()
        # A waiver that runs is extended as it was given: with its reason, by a person, in the audit.
        form.changed_data = [name for name in form.changed_data if name not in waiver]
        super().save_model(request, obj, form, change)
        if waiver and obj.state == ItemState.WAIVED and "incidents_checklistitem_waive" not in request.POST:
            self.waive(request, obj)
        if change and set(form.changed_data) & set(ItemForm.LOOKED_AT):
            checklist.forget(item=obj, at=timezone.now(), actor=_person(request))

    @display(description=gettext_lazy("what changed"))
    def changed(self, obj: ChecklistItem) -> str:
        """The difference at the last failure."""
        return differences.worded(obj.difference) or "—"

    @display(description=gettext_lazy("incident"), ordering="report__incident__number")
    def incident(self, obj: ChecklistItem) -> str:
        """Number of the incident; a standing measure has none."""
        return f"INC-{obj.incident.number}" if obj.incident else ""

    @display(description=gettext_lazy("priority"), ordering="priority", label=LABELS)
    def shown_priority(self, obj: ChecklistItem) -> tuple[str, str]:
        """Priority with a colour."""
        return obj.priority, str(Priority(obj.priority).label)

    @display(description=gettext_lazy("state"), ordering="state", label=LABELS)
    def shown_state(self, obj: ChecklistItem) -> tuple[str, str]:
        """State as a word with a colour."""
        return obj.state, str(ItemState(obj.state).label)

    @admin.action(description=gettext_lazy("Claim the selected measures"), permissions=["change"])
    def claim_selected(self, request: HttpRequest, queryset: QuerySet[ChecklistItem]) -> None:
        """Record ticks; refusals are listed."""
        done = 0
        for item in queryset.select_related("report__incident"):
            try:
                checklist.claim(item=item, at=timezone.now(), actor=_person(request))
                done += 1
            except IncidentError as error:
                messages.warning(request, f"{item}: {error}")
        text = ngettext("%(n)d measure was claimed.", "%(n)d measures were claimed.", done)
        messages.success(request, text % {"n": done})

    @admin.action(description=gettext_lazy("Verify the selected measures now"), permissions=["change"])
    def verify_selected(self, request: HttpRequest, queryset: QuerySet[ChecklistItem]) -> None:
        """Ask a worker; this process never reaches what runs."""
        self._ask(request, list(queryset.exclude(verifier="").select_related("report__incident")))

    @admin.action(description=gettext_lazy("Take the selected measures on"), permissions=["change"])
    def take_selected(self, request: HttpRequest, queryset: QuerySet[ChecklistItem]) -> None:
        """Become their owner."""
        for item in queryset:
            checklist.assign(item=item, at=timezone.now(), actor=_person(request), owner=_person(request))
        messages.success(request, _("They are yours now."))

    @action(description=gettext_lazy("Claim"), permissions=["change"])
    def claim(self, request: HttpRequest, obj: ChecklistItem) -> None:
        """Record a tick."""
        call = partial(checklist.claim, item=obj, at=timezone.now(), actor=_person(request))
        self.act(request, _("Claimed."), call)

    @action(description=gettext_lazy("Verify now"), permissions=["change"])
    def verify(self, request: HttpRequest, obj: ChecklistItem) -> None:
        """Ask a worker."""
        self._ask(request, [obj] if obj.verifier else [])

    @action(description=gettext_lazy("Waive"), permissions=["change"])
    def waive(self, request: HttpRequest, obj: ChecklistItem) -> None:
        """Accept the risk with the reason and the day of the form."""
        until = obj.waived_until or timezone.localdate()
        given = {"reason": obj.waiver_reason, "until": until, "actor": _person(request)}
        self.act(request, _("Waived."), partial(checklist.waive, item=obj, at=timezone.now(), **given))

    @action(description=gettext_lazy("Take back"), permissions=["change"])
    def take_back(self, request: HttpRequest, obj: ChecklistItem) -> None:
        """Withdraw a claim or a waiver."""
        call = partial(checklist.reopen, item=obj, at=timezone.now(), actor=_person(request))
        self.act(request, _("Open again."), call)

    def _ask(self, request: HttpRequest, items: list[ChecklistItem]) -> None:
        if not items:
            messages.warning(request, _("None of them has a verifier."))
        elif checklist.verify_now(items=items, at=timezone.now(), actor=_person(request)):
            messages.success(request, _("A worker verifies now; reload in a few seconds."))
        else:
            messages.error(request, _("The broker does not answer; nothing was verified."))


def _person(request: HttpRequest) -> Any:
    return request.user


class PackItemForm(ItemForm):
    """One measure of a pack; its target is the service that the pack is applied to."""

    class Meta:
        model = PackItem
        fields = ("text", "priority", "verifier", "parameters")

    select = AdminItemForm.select


class PackItemInline(StackedInline):  # type: ignore[misc] # unfold carries no types
    """The measures of a pack."""

    model = PackItem
    form = PackItemForm
    extra = 0
    ordering_field = "order"
    hide_ordering_field = True
    fields = ("text", "priority", "verifier", "parameters", "order")
    formfield_overrides = {**StackedInline.formfield_overrides, **SHORT_TEXT}


@admin.register(ItemPack)
class ItemPackAdmin(HistoryAdmin):
    """Packs of measures; they are applied on the portal's page."""

    list_display = ("name", "description")
    search_fields = ("name", "description")
    inlines = (PackItemInline,)
