"""What the admin classes share: buttons that POST, saving only what changed, rows nobody edits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import models
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from simple_history.admin import SimpleHistoryAdmin
from unfold import decorators
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminTextareaWidget

from incidents.errors import IncidentError

#: unfold's decorators, which carry no types.
Decorator = Callable[..., Callable[[Callable[..., Any]], Any]]
action: Decorator = decorators.action
display: Decorator = decorators.display

#: Colours of labels by state, severity or outcome.
LABELS = {
    **dict.fromkeys(("detected", "critical", "failing", "failed", "fail", "P0"), "danger"),
    **dict.fromkeys(
        ("acknowledged", "mitigated", "warning", "claimed", "stale", "no_channel", "held", "uncertain", "P1"),
        "warning",
    ),
    **dict.fromkeys(("resolved", "reviewed", "verified", "sent", "pass"), "success"),
    **dict.fromkeys(
        ("open", "info", "pending", "sending", "cancelled", "waived", "unknown", "closed", "P2", "P3"), "info"
    ),
}
SHORT_TEXT = {models.TextField: {"widget": UnfoldAdminTextareaWidget(attrs={"rows": 2})}}


class GuardedAdmin(ModelAdmin):  # type: ignore[misc] # unfold carries no types
    """Saves only the fields that the form changed and then runs the pressed button.

    Saving the whole row would undo what a worker did since the page was opened. Buttons stand beside
    *Save*, so that they are POSTs.
    """

    list_fullwidth = True
    show_full_result_count = False
    list_per_page = 50

    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm[Any], change: bool) -> None:
        """Write what changed, then act."""
        if not change:
            obj.save()
        elif form.changed_data:
            obj.save(update_fields=form.changed_data)
        for action in self.get_actions_submit_line(request, obj.pk):
            if action.action_name in request.POST:
                action.method(request, obj)

    def act(self, request: HttpRequest, done: str, call: Callable[[], object]) -> None:
        """Call a service; a refusal is shown to the person."""
        try:
            call()
        except IncidentError as error:
            messages.error(request, str(error))
        else:
            messages.success(request, done)


class HistoryAdmin(SimpleHistoryAdmin, GuardedAdmin):  # type: ignore[misc] # simple_history carries no types
    """Rows whose old versions may be looked at by whoever sees them, and brought back by whoever may edit."""

    def history_form_view(
        self, request: HttpRequest, object_id: str, version_id: str, extra_context: Any = None
    ) -> HttpResponse:
        """Refuse to write without the permission to change: the library asks only for that to see."""
        if request.method == "POST":
            found = self.get_object(request, object_id)
            if self.revert_disabled(request, found) or not self.has_change_permission(request, found):
                raise PermissionDenied
            # The form of an old version is compared with that version, so all of it has to be written.
            request.brings_back = True  # type: ignore[attr-defined] # ours
        answer: HttpResponse = super().history_form_view(request, object_id, version_id, extra_context)
        return answer

    def save_form(self, request: HttpRequest, form: ModelForm[Any], change: bool) -> Any:
        """Name the fields that are written."""
        if getattr(request, "brings_back", False):
            form.changed_data = list(form.fields)
        return super().save_form(request, form, change)


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc] # unfold carries no types
    """Rows that workers write; nobody adds, changes or deletes them here."""

    list_fullwidth = True
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody."""
        return False
