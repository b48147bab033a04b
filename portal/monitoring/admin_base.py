"""What the admin pages of monitoring share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse
from simple_history.admin import SimpleHistoryAdmin
from unfold.admin import ModelAdmin

SEVERITY_COLOURS = {"critical": "danger", "warning": "warning", "info": "info"}


class ViewOnly(ModelAdmin):  # type: ignore[misc] # unfold carries no types
    """Rows that workers write: no adding, changing or deleting. Counting them all is not needed either."""

    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Workers add."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes a measurement."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Retention deletes."""
        return False


class HasHistory(ModelAdmin):  # type: ignore[misc] # unfold carries no types
    """Rows that take what workers wrote about them along when they are deleted."""

    def get_deleted_objects(
        self, objs: Iterable[models.Model], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Count what goes with ``objs``: naming each of a service's 35,000 readings would be a page of MBs.

        Workers' rows can be deleted by nobody alone, so their permission is not asked for here.
        """
        rows = list(objs)
        counts = {str(self.opts.verbose_name_plural): len(rows)}
        for related in self.opts.related_objects:
            if related.on_delete is models.CASCADE:
                held = related.related_model._default_manager.filter(**{f"{related.field.name}__in": rows})
                counts[str(related.related_model._meta.verbose_name_plural)] = held.count()
        return [str(row) for row in rows], counts, set(), []


class HistoryTells(SimpleHistoryAdmin):  # type: ignore[misc] # simple_history carries no types
    """History is only looked at: going back to old settings is a change like any other."""

    def revert_disabled(self, request: HttpRequest, obj: Any = None) -> bool:
        """Always."""
        return True

    def history_form_view(
        self, request: HttpRequest, object_id: str, version_id: str, extra_context: Any = None
    ) -> HttpResponse:
        """Refuse to write: the library hides its button only, and saves for whoever may look."""
        if request.method == "POST":
            raise PermissionDenied
        answer: HttpResponse = super().history_form_view(request, object_id, version_id, extra_context)
        return answer
