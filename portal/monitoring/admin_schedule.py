"""django-celery-beat's admin in the look of the rest."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django_celery_beat import admin as beat
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

for model in (PeriodicTask, IntervalSchedule, CrontabSchedule, SolarSchedule, ClockedSchedule):
    if admin.site.is_registered(model):
        admin.site.unregister(model)


class TaskSelect(UnfoldAdminSelectWidget, beat.TaskSelectWidget):  # type: ignore[misc] # both untyped
    """Registered tasks to choose from."""

    template_name = "unfold/widgets/select.html"


class PeriodicTaskForm(beat.PeriodicTaskForm):  # type: ignore[misc] # untyped library
    """The library's form with the shell's widgets."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = TaskSelect()


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(beat.PeriodicTaskAdmin, ModelAdmin):  # type: ignore[misc] # untyped libraries
    """What beat starts, and how often."""

    form = PeriodicTaskForm
    list_display = ["name", "task", "interval", "queue", "enabled", "last_run_at", "total_run_count"]
    list_filter = ["enabled", "queue"]
    list_select_related = ["interval", "crontab", "solar", "clocked"]


@admin.register(IntervalSchedule)
class IntervalScheduleAdmin(ModelAdmin):  # type: ignore[misc] # unfold carries no types
    """Intervals that tasks may have."""


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(beat.CrontabScheduleAdmin, ModelAdmin):  # type: ignore[misc] # untyped libraries
    """Times of day that tasks may have."""
