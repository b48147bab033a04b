"""People, roles and beat's schedule in the portal's look."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.utils.translation import gettext_lazy as _
from django_celery_beat.admin import PeriodicTaskAdmin as BeatTaskAdmin
from django_celery_beat.admin import PeriodicTaskForm, TaskSelectWidget
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

for model in (User, Group, PeriodicTask, IntervalSchedule, CrontabSchedule, SolarSchedule, ClockedSchedule):
    admin.site.unregister(model)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[misc, type-arg] # unfold has no types
    """People. Their roles are groups."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):  # type: ignore[misc] # unfold has no types
    """Roles."""


class TaskSelect(UnfoldAdminSelectWidget, TaskSelectWidget):  # type: ignore[misc] # no types
    """The registered tasks as a list."""


class TaskForm(PeriodicTaskForm):  # type: ignore[misc] # django-celery-beat has no types
    """Beat's form with the portal's widgets."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = TaskSelect()


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(BeatTaskAdmin, ModelAdmin):  # type: ignore[misc] # no types
    """Beat's schedule: periods can be changed and tasks switched off here."""

    form = TaskForm
    list_display = ("name", "enabled", "schedule", "start_time", "last_run_at", "one_off")

    @admin.display(description=_("schedule"))
    def schedule(self, task: PeriodicTask) -> object:
        """The interval, or the times."""
        return task.scheduler

    @admin.display(description=_("times in words"))
    def crontab_translation(self, task: PeriodicTask) -> str:
        """The times of a crontab as a sentence; nothing for other schedules."""
        return task.crontab.human_readable if task.crontab else ""


@admin.register(IntervalSchedule)
class IntervalScheduleAdmin(ModelAdmin):  # type: ignore[misc] # unfold has no types
    """Periods that tasks can have."""


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(ModelAdmin):  # type: ignore[misc] # unfold has no types
    """Times that tasks can have."""
