"""From the drafted report to the closed incident, as two people would: they press what the pages offer.

Only waiting looks into the database, as a reader who reloads the page would.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from examples.outage import stage, summary
from examples.outage.offers import chosen
from examples.outage.outcome import Outcome
from examples.outage.people import Person
from incidents.checklist import blocking
from incidents.models import ChecklistItem, Incident, ItemState, Priority, State, Trigger
from incidents.models import Outcome as Seen
from portal.operations.models import UNDER_WAY, ActionState, Helped, OperatorAction

#: Seconds for evidence (15), the restart itself (20) and the worker's queue.
ACTED_WITHIN_S = 75.0
#: The portal's window of green, plus one sweep of each part of the chain.
RESOLVE_WITHIN_S = stage.RESOLVE_AFTER_S + 60.0
VERIFY_WITHIN_S = 60.0
#: Beat looks every 15 s; a reading newer than the restart has to be there.
CHECKED_WITHIN_S = settings.ACTION_CHECK_AFTER + 45.0
#: A check that comes so soon is waited for before the container is replaced: it must not fall into the gap.
SOON_S = 30.0
#: A service's end is frozen a few seconds after the restart, which changes what a new draft offers.
TRIES = 3
#: What the container can show, and whether it fails before the repair.
REPAIRED = ("docker.limits", "docker.log_options")


@dataclass(slots=True)
class Acts:
    """One play; ``wait`` shows the portal's numbers while it waits."""

    place: stage.Stage
    incident: Incident
    operator: Person
    editor: Person
    outcome: Outcome
    wait: Callable[[float, Callable[[], object]], object]
    lang: str
    folder: Path
    files: list[Path] = field(default_factory=list)

    @property
    def page(self) -> str:
        """The incident's page."""
        return reverse("incident", args=[self.incident.number])

    def play(self) -> None:
        """Play all of it, as far as it goes."""
        self.acknowledge()
        before = self.look_at_the_container()
        self.place.repair_upstream()
        say(
            "The upstream answers again at a new address; the faulty client does not look it up and burns on."
        )
        action = self.restart()
        self.take_over()
        self.resolve()
        self.wait_for_the_check(action, SOON_S)
        self.repair(before)
        self.wait_for_the_check(action, CHECKED_WITHIN_S)
        self.outcome.expect(
            action.helped == Helped.YES, "the restart helped, by its check", action.check_note
        )
        self.sign_and_close()
        self.export()

    def acknowledge(self) -> None:
        """The operator takes the lead and acknowledges."""
        self.operator.press(self.page, "take")
        self.operator.press(self.page, "acknowledge")
        self.incident.refresh_from_db()
        say(f"{self.operator.name} took the lead and acknowledged.")

    def look_at_the_container(self) -> dict[str, str]:
        """Have what the container lacks verified while it lacks it; returns what was seen by verifier."""
        if self.place.runtime != "docker":
            return {}
        items = self._items(*REPAIRED)
        self._verify(items)
        self.wait(VERIFY_WITHIN_S, lambda: all(self._ran(one) for one in items))
        seen = {}
        for one in items:
            one.refresh_from_db()
            run = one.runs.first()
            seen[one.verifier] = run.outcome if run else ""
        failed = all(seen.get(name) == Seen.FAIL for name in REPAIRED)
        shown = "; ".join(one.observed for one in items) or "no such measures"
        self.outcome.expect(failed, "before the repair: limits and log rotation fail", shown)
        return seen

    def restart(self) -> OperatorAction:
        """Press *Restart* on the incident's page and give the reason.

        Raises:
            stage.StageError: no worker finished it.
        """
        asked = timezone.now()
        address = self.operator.link(self.page, "/act/restart/")
        self.operator.press(address, fill={"reason": REASONS[self.lang]["restart"]})
        say(f"{self.operator.name} pressed Restart; the ops worker freezes the evidence first.")
        mine = OperatorAction.objects.filter(
            incident=self.incident, verb="restart", requested_at__gte=asked - timedelta(seconds=1)
        )
        self.wait(ACTED_WITHIN_S, lambda: mine.exclude(state__in=UNDER_WAY).first())
        action = mine.first()
        if action is None:
            raise stage.StageError("the restart that was pressed is not on record")
        frozen = self.incident.evidence.filter(trigger=Trigger.ACTION, captured_at__gte=asked)
        first = bool(action.acted_at and frozen and all(one.captured_at <= action.acted_at for one in frozen))
        kinds = sorted({str(one.get_kind_display()) for one in frozen})
        self.outcome.expect(first, "evidence frozen before the restart", f"{len(frozen)}: {', '.join(kinds)}")
        done = action.state == ActionState.DONE
        self.outcome.expect(
            done, "restarted by the ops worker", f"{action.get_state_display()} {action.note}"
        )
        return action

    def take_over(self) -> None:
        """Accept from the new draft what the evidence says that was frozen before the restart.

        Raises:
            stage.StageError: the rows changed between looking and pressing, again and again.
        """
        path = reverse("report-draft", args=[self.incident.number])
        frozen = self.incident.evidence.filter(trigger=Trigger.ACTION).values_list("pk", flat=True)
        rows: list[str] = []
        for left in reversed(range(TRIES)):
            rows = chosen(self.editor.get(path).text, set(frozen))
            try:
                if rows:
                    self.editor.press(path, tick=rows)
                break
            except stage.StageError:
                if not left:
                    raise
        say(f"{self.editor.name} took over {len(rows)} rows of the evidence before the restart.")

    def resolve(self) -> None:
        """Expect *mitigated* by the restart, and wait until it is resolved by green."""
        began = timezone.now()
        self.incident.refresh_from_db()
        mitigated = self.incident.state in (State.MITIGATED, State.RESOLVED)
        self.outcome.expect(mitigated, "mitigated by the restart", str(self.incident.get_state_display()))
        self.wait(RESOLVE_WITHIN_S, self._resolved)
        took = f"{(timezone.now() - began).total_seconds():.1f} s" if self._resolved() else "not resolved"
        self.outcome.expect(self._resolved(), f"resolved within {RESOLVE_WITHIN_S:g} s of the restart", took)

    def repair(self, before: dict[str, str]) -> None:
        """Replace the service by the repaired one and have every measure verified."""
        say("The service is replaced by the repaired one: no client that retries without a pause.")
        self.place.rebuild()
        items = self._items()
        wanted = [one for one in items if one.priority == Priority.P0 or one.verifier in before]
        since = timezone.now()
        pressed = since

        def verified() -> bool:
            nonlocal pressed
            for one in wanted:
                one.refresh_from_db()
            left = [one for one in wanted if one.state != ItemState.VERIFIED]
            if left and timezone.now() - pressed > timedelta(seconds=5):
                pressed = timezone.now()
                self._verify(left)
            return not left

        self._verify(items)
        self.wait(VERIFY_WITHIN_S, verified)
        self.wait(VERIFY_WITHIN_S / 2, lambda: all(self._ran(one, since) for one in items) or None)
        for one in items:
            one.refresh_from_db()
            say(f"  {one.get_state_display():<10} {one.priority}  {one.text}: {one.observed}")
        good = bool(wanted) and all(one.state == ItemState.VERIFIED for one in wanted)
        names = ", ".join(one.verifier for one in wanted)
        self.outcome.expect(good, "verified by machine after the repair", names)
        if before:
            return
        say("Without a Docker Engine there are no limits and no log rotation to verify: those stay unknown.")

    def wait_for_the_check(self, action: OperatorAction, within: float) -> None:
        """Wait until Bonghwa looked whether the restart helped, if that is due within so many seconds."""

        def checked() -> datetime | None:
            action.refresh_from_db()
            return action.checked_at

        due = action.check_due_at
        if due is not None and due - timezone.now() < timedelta(seconds=within):
            self.wait(max(0.0, (due - timezone.now()).total_seconds()) + 45.0, checked)

    def sign_and_close(self) -> None:
        """The editor, who is not the lead, signs the report off; the operator closes the incident."""
        self.editor.press(reverse("report", args=[self.incident.number]), "sign")
        self.incident.refresh_from_db()
        report = self.incident.report
        report.refresh_from_db()
        signed = report.locked and self.incident.state == State.REVIEWED
        self.outcome.expect(
            signed, "signed off by another than the lead, and locked", str(self.incident.get_state_display())
        )
        self.operator.press(self.page, "close")
        self.incident.refresh_from_db()
        closed = self.incident.state == State.CLOSED and not blocking(self.incident)
        self.outcome.expect(closed, "closed by the operator", str(self.incident.get_state_display()))

    def export(self) -> None:
        """Download both reports, and hold that no section of the summary is empty."""
        self.folder.mkdir(parents=True, exist_ok=True)
        texts = {}
        for kind in ("summary", "detail"):
            address = reverse("report-export", args=[self.incident.number, kind, "md"])
            answer = self.editor.get(address)
            path = self.folder / file_name(answer.headers["Content-Disposition"])
            path.write_text(answer.text, encoding="utf-8")
            self.files.append(path)
            texts[kind] = answer.text
        missing = summary.unfilled(texts["summary"], self.lang)
        count = len(summary.sections(texts["summary"]))
        self.outcome.expect(
            not missing, "summary: every section filled", "; ".join(missing) or f"{count} sections"
        )
        print(f"\n{texts['summary']}\n")

    def _items(self, *verifiers: str) -> list[ChecklistItem]:
        found = ChecklistItem.objects.filter(report__incident=self.incident).order_by("order", "pk")
        return list(found.filter(verifier__in=verifiers) if verifiers else found.exclude(verifier=""))

    def _verify(self, items: list[ChecklistItem]) -> None:
        for one in items:
            self.operator.press(reverse("checklist-item", args=[one.pk]), "verify")

    def _ran(self, item: ChecklistItem, since: datetime | None = None) -> bool:
        runs = item.runs.filter(at__gte=since) if since else item.runs.all()
        return runs.exists()

    def _resolved(self) -> bool:
        self.incident.refresh_from_db()
        return not self.incident.is_open


#: The reasons that the demonstration gives where a page asks for one.
REASONS = {
    "ko": {"restart": "재시도 루프로 응답이 없어 재시작"},
    "en": {"restart": "It does not answer because of the retry loop"},
}


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


def file_name(disposition: str) -> str:
    """Return the name that a download asks for, without any folder."""
    found = re.search(r"filename\*=utf-8''([^;]+)", disposition, re.IGNORECASE)
    plain = re.search(r'filename="([^"]+)"', disposition)
    name = unquote(found[1]) if found else plain[1] if plain else "report.md"
    return Path(name).name
