"""``manage.py drill NAME``: replay the cause of an outage safely, and say how the gateway stood it."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from incidents.models import Incident
from portal.management.commands.selftest import _log_to_standard_error
from portal.operations import drill_compare, drill_play, drills
from portal.operations.models import DrillKind, DrillRun, DrillState


class Command(BaseCommand):
    """Plays one drill in the foreground; Ctrl-C or SIGTERM aborts it."""

    help = "Replay the cause of an outage on a session of its own, against a simulator on loopback."
    # A gateway with wrong settings is what a drill should find, so they must not keep it from running.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the drill's name, or the number of an ordered one."""
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("name", nargs="?", choices=DrillKind.values, help=", ".join(DrillKind.values))
        what.add_argument("--run", type=int, help="play an order of the portal; for the worker")
        parser.add_argument("--incident", type=int, help="compare with the numbers of this incident")
        parser.add_argument("--reason", default="manage.py drill", help="kept with the result")
        parser.add_argument("--json", action="store_true", help="one JSON object on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """Play.

        Raises:
            CommandError: it cannot be started, was aborted or could not be played, or was not passed.
        """
        _log_to_standard_error()
        run = self._ordered(options) if options["run"] is None else self._taken(options["run"])
        if run is None:
            return
        run = drill_play.play(run)
        if options["json"]:
            self.stdout.write(json.dumps(result(run), ensure_ascii=False))
        else:
            self.stdout.write("\n".join(lines(run)))
        if options["run"] is None and run.state != DrillState.PASSED:
            raise CommandError(run.detail or str(run.get_state_display()))

    def _ordered(self, options: dict[str, Any]) -> DrillRun | None:
        incident = None
        if options["incident"] is not None:
            incident = Incident.objects.filter(number=options["incident"]).first()
            if incident is None:
                raise CommandError(f"there is no incident {options['incident']}")
        try:
            run = drills.start(
                drill=options["name"],
                reason=options["reason"],
                now=timezone.now(),
                by=None,
                incident=incident,
            )
        except drills.DrillRefused as error:
            raise CommandError(str(error)) from error
        return drills.claim(run.pk, timezone.now())

    def _taken(self, pk: int) -> DrillRun | None:
        run = drills.claim(pk, timezone.now())
        if run is None:
            self.stderr.write(f"drill {pk} is over or played elsewhere")
        return run


def result(run: DrillRun) -> dict[str, Any]:
    """Return the result as plain values."""
    figures = run.figures
    return {
        "number": run.pk,
        "drill": run.drill,
        "state": run.state,
        "detail": run.detail,
        "comparison": _sentence(run),
        "checks": run.checks,
        "measured": figures.as_json() if figures else None,
    }


def lines(run: DrillRun) -> list[str]:
    """Return the result as text."""
    width = max((len(drill_compare.rule_words(check)) for check in run.judged), default=0)
    rows = [
        "  ".join(
            (
                "ok  " if one.met else "FAIL",
                drill_compare.rule_words(one).ljust(width),
                drill_compare.seen_words(one),
            )
        )
        for one in run.judged
    ]
    head = f"{run.get_drill_display()} ({run.pk}): {run.get_state_display()}"
    return [line for line in (*rows, head, run.detail, _sentence(run)) if line]


def _sentence(run: DrillRun) -> str:
    figures = run.figures
    if figures is None:
        return ""
    return drill_compare.sentence(run.incident.number if run.incident else None, run.frozen, figures)
