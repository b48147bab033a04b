"""The commands of docs/backup.md as they are written there: a backup, and a restore after each loss."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from tests.conditions import wait_until
from tests.deploy.deployment import HEALTHY_WITHIN_S, Deployment, all_healthy, incidents, signed_in
from tests.deploy.place import ROOT
from tests.deploy.prove.table import Line

PART = "restore"
#: What a new machine has of the old one's secrets: the three keys, and the password that people know.
CARRIED = {"secret_key", "audit_key", "channel_key", "admin_password"}
#: An incident with a report and with evidence, whatever else there is.
IMPORT = """docker-compose run --rm -T setup \
  sh -c 'cat > /tmp/report.md && python manage.py import_report /tmp/report.md'"""
FILL = """
from django.utils import timezone
from incidents import evidence
from incidents.models import EvidenceKind, Incident
from incidents.registry import Captured
one = Incident.objects.latest("pk")
data = {"lines": ["한 줄", "another"] * 500}
bundle = Captured(kind=EvidenceKind.LOGS, subject="restore", data=data)
evidence.keep(incident=one, bundle=bundle, at=timezone.now())
"""
SEEN = """
import json
from incidents import evidence
from incidents.models import AuditEntry, Evidence, Incident, Report
print(json.dumps({
    "incidents": list(Incident.objects.order_by("pk").values()),
    "reports": list(Report.objects.order_by("pk").values()),
    "evidence": [[one.pk, one.sha256, len(evidence.load(one))] for one in Evidence.objects.order_by("pk")],
    "audit": list(AuditEntry.objects.order_by("seq").values_list("seq", "mac")),
}, default=str))
"""


def play(one: Deployment) -> Iterator[Line]:
    """Yield a line for each promise. Everything is up before and afterwards."""
    one.shell(IMPORT, (ROOT / "tests" / "data" / "seed-report.md").read_text())
    _python(one, FILL)
    one.compose("stop", "web", "gateway-a", "gateway-b", "worker-collect", "worker-ops", "beat")
    before = _seen(one)
    backup, same, lost, new = _blocks()
    one.shell(f"{backup}mv *.zip backup.zip\n")

    yield from _restored(one, "database renamed", same, before)
    # As when its files are damaged; step 3 is left out.
    steps = re.sub(r"# 3\..*?(?=# 4\.)", "", same, flags=re.DOTALL)
    yield from _restored(one, "volume of PostgreSQL lost", lost + steps, before)
    one.compose("down", "--volumes", "--timeout", "5")
    for secret in (one.folder / "secrets").iterdir():
        if secret.name not in CARRIED:
            secret.unlink()
    yield from _restored(one, "new machine", new, before)


def _blocks() -> list[str]:
    """Return the guide's four blocks: backup, same machine, lost volume, new machine."""
    text = (ROOT / "docs" / "backup.md").read_text()
    section = text[text.index("## With Compose") : text.index("## The drill")]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    assert len(blocks) == 4, blocks
    return blocks


def _restored(one: Deployment, what: str, script: str, before: dict[str, Any]) -> Iterator[Line]:
    began = time.monotonic()
    steps, last = script.removesuffix("docker-compose up -d\n"), "docker-compose up -d\n"
    assert steps != script, "the guide's last command is another one"
    printed = one.shell(steps)
    took, after = time.monotonic() - began, _seen(one)
    one.shell(last)
    wait_until(lambda: all_healthy(one), HEALTHY_WITHIN_S, "all healthy", 1)
    yield Line(PART, what, f"restored after {took:.0f} s, all healthy after {time.monotonic() - began:.0f} s")
    for name in ("incidents", "reports", "evidence", "audit"):
        # The restore is an entry of its own.
        found = after[name][: len(before[name])] if name == "audit" else after[name]
        equal = bool(found) and found == before[name]
        yield Line(PART, f"{what}: {name}", f"{len(found)} of {len(before[name])}", "identical", equal)
    genuine = printed.count("all genuine") == 2
    yield Line(PART, f"{what}: the audit's chain", "all genuine" if genuine else printed, "genuine", genuine)
    with closing(signed_in(one)) as browser:
        known = {found["number"] for found in incidents(browser)}
    shown = known >= {found["number"] for found in before["incidents"]}
    yield Line(PART, f"{what}: the portal shows them", str(len(known)), "all", shown)


def _seen(one: Deployment) -> dict[str, Any]:
    return dict(json.loads(_python(one, SEEN).splitlines()[-1]))


def _python(one: Deployment, script: str) -> str:
    return one.compose("run", "--rm", "-T", "setup", "python", "manage.py", "shell", "-v", "0", "-c", script)
