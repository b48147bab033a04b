"""The commands of docs/upgrade.md as they are written there, while many clients read."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator

import httpx

from tests.conditions import wait_until
from tests.deploy.deployment import HEALTHY_WITHIN_S, LABEL, Deployment, all_healthy, gateway_owner, incidents
from tests.deploy.images import IMAGE
from tests.deploy.place import ROOT
from tests.deploy.prove.crowd import ROW_WITHIN_S, Crowd
from tests.deploy.prove.table import Line
from tests.receiver import Receiver

PART = "upgrade"
#: The image by which the guide and .env name the release.
LATEST = "bonghwa:latest"
OURS = ("web", "gateway-a", "gateway-b", "worker-collect", "worker-ops", "beat")
AWAY_WITHIN_S = 30.0
#: Stands for `git pull` and the build: the same code in another image, so that containers are made anew.
NEXT = f"printf 'FROM {IMAGE}\\nLABEL release=next\\n' | docker build --quiet --tag {LATEST} -"
#: Stands for a person who goes on once everything is healthy.
WAIT = """for try in $(seq 300); do
  test -n "$(docker ps --quiet --filter health=starting --filter health=unhealthy)" || break
  sleep 1
done"""
#: Longer than a rule needs to open an incident.
QUIET_S = 60.0


def play(
    one: Deployment, browser: httpx.Client, receiver: Receiver, crowd: Crowd, clients: int, slack: float
) -> Iterator[Line]:
    """Yield a line for each promise; ``slack`` stretches the times, on a busy machine."""
    crowd.come(clients)
    before = [each.returns for each in crowd.readers]
    told, known = len(receiver.messages), _numbers(browser)
    began = time.monotonic()
    printed = one.shell(commands(owner=gateway_owner(one)))
    wait_until(lambda: all_healthy(one), HEALTHY_WITHIN_S, "all healthy", 1)
    yield Line(
        PART, "the commands of docs/upgrade.md, steps 1 to 7", f"after {time.monotonic() - began:.0f} s"
    )
    ours = [each.labels for each in one.all_containers() if each.labels[LABEL] in OURS]
    old = [labels[LABEL] for labels in ours if labels.get("release") != "next"]
    yield Line(PART, "services that still run the image before", str(old or 0), "0", not old)
    returns = [each.returns - count for each, count in zip(crowd.readers, before, strict=True)]
    longest, promise = max(each.longest_away for each in crowd.readers), AWAY_WITHIN_S * slack
    seen = f"{sum(count > 0 for count in returns)}, {max(returns)} times at most, {longest:.1f} s"
    yield Line(
        PART, f"of {clients} clients came back, longest away", seen, f"≤ {promise:g} s", longest <= promise
    )
    read = crowd.all_read(ROW_WITHIN_S * slack)
    yield Line(PART, "clients lost", str(crowd.away() if read is None else 0), "0", read is not None)
    audit = next((line for line in printed.splitlines() if "audit entries" in line), "unknown")
    yield Line(PART, "the audit afterwards", audit, "all genuine", "all genuine" in audit)
    time.sleep(QUIET_S)
    opened, messages = _numbers(browser) - known, receiver.messages[told:]
    yield Line(
        PART,
        "incidents and messages about it",
        f"{len(opened)}, {len(messages)}",
        "0, 0",
        not (opened or messages),
    )


def commands(owner: str) -> str:
    """Return the guide's commands for Compose as one script; the gateway ``owner`` is replaced last."""
    text = (ROOT / "docs" / "upgrade.md").read_text()
    (script,) = re.findall(r"```sh\n(# 1\..*?)```", text, re.DOTALL)
    lines = []
    for line in script.splitlines():
        if line.startswith("git "):
            continue
        line = NEXT if line.startswith("docker-compose build") else line
        lines.append(line if "# go on when" not in line else WAIT)
    found = "\n".join(lines)
    if owner == "gateway-b":
        found = found.replace("gateway-a", "gateway-?").replace("gateway-b", "gateway-a").replace("-?", "-b")
    return found


def name_the_release(one: Deployment) -> None:
    """Give the image that was made the name by which .env and the guide call the release.

    Raises:
        subprocess.CalledProcessError: there is no such image.
    """
    command = ["docker", "tag", IMAGE, LATEST]
    subprocess.run(command, env=one.environment, check=True)  # noqa: S603 - fixed


def _numbers(browser: httpx.Client) -> set[int]:
    return {found["number"] for found in incidents(browser)}
