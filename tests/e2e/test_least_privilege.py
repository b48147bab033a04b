"""The main job with each process under its own Redis user and database role: nothing is refused."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from portal.supervise import plan
from tests.conditions import wait_until
from tests.e2e.client import logged_in
from tests.e2e.product import OWN, ROOT
from tests.rights import Redis, as_role, guarded_redis, migrated_with_roles
from tests.servers import postgres_programs
from tests.services import free_port, stop

pytestmark = [pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(400)]
PASSWORD = "correct horse battery"
#: Redis user and database role of each process.
RIGHTS = {
    "simulator": ("web", "app"),
    "gateway": ("gateway", "gateway"),
    "web": ("web", "app"),
    "worker-collect": ("worker-collect", "app"),
    "worker-ops": ("worker-ops", "ops"),
    "beat": ("beat", "app"),
}
PAGES = (
    "/",
    "/services/",
    "/incidents/",
    "/incidents/1/",
    "/alerts/",
    "/checklist/",
    "/messages/",
    "/watch/",
    *("/feed/operations/", "/monitors/", "/posture/", "/drills/", "/audit/", "/metrics", "/admin/"),
)
TRIED = {"verb": "test", "name": "own", "purpose": "health", "kind": "http", "vantage": "inside"}
TRIED |= {"expected_status": "200", "min_days": "14", "timeout_s": "5", "interval_s": "30", "enabled": "on"}
PREPARE = f"""
import json
from django.contrib.auth.models import User
from django.core.management import call_command
User.objects.create_superuser("root", password="{PASSWORD}")
call_command("import_report", "incidents/data/seed-report.md", verbosity=0)
call_command("feedkey", "create", "--name", "test", "--json")
"""


class Deployment:
    """The processes, each with its own rights."""

    def __init__(self, folder: Path, database: str, redis: Redis) -> None:
        self.folder, self.redis = folder, redis
        self.port = free_port()
        simulator = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._base = {name: value for name, value in os.environ.items() if name not in OWN} | {
            "DATA_DIR": str(folder),
            "PORT": str(self.port),
            "KIWOOM_REST_URL": f"http://127.0.0.1:{simulator}",
            "KIWOOM_WS_URL": f"ws://127.0.0.1:{simulator}",
            "PROBE_ALLOW": "loopback",
        }
        self._database = database

    def environment(self, user: str, role: str) -> dict[str, str]:
        """Return the environment of a process with these rights; its secrets come as files."""
        found = dict(self._base)
        secrets = (
            ("REDIS_URL", self.redis.url(user)),
            ("DATABASE_URL", as_role(self._database, role)),
        )
        for name, value in secrets:
            path = self.folder / f"{name}-{user}-{role}"
            path.write_text(value + "\n")
            found[f"{name}_FILE"] = str(path)
        return found

    def manage(self, user: str, role: str, *words: str) -> str:
        """Run a management command with these rights."""
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=self.environment(user, role),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run every process until it is left."""
        setup = plan.Setup(
            base=ROOT,
            data=self.folder,
            python=sys.executable,
            bind="127.0.0.1",
            port=self.port,
            host="test",
            simulator=True,
        )
        with ExitStack() as stack:
            for program in plan.programs(setup):
                log = stack.enter_context((self.folder / f"{program.name}.log").open("wb"))
                process = subprocess.Popen(  # noqa: S603 - our own program
                    program.command,
                    cwd=ROOT,
                    env=self.environment(*RIGHTS[program.name]),
                    stdout=log,
                    stderr=log,
                )
                stack.callback(stop, process, 20)
            yield

    def ready(self) -> bool:
        """Whether every part is well."""
        try:
            answer = httpx.get(f"{self.url}/health/ready", timeout=5)
            return bool(answer.json()["status"] == "ok")
        except (httpx.HTTPError, ValueError):
            return False

    def logs(self) -> str:
        """Everything the processes wrote."""
        return "".join(path.read_text() for path in sorted(self.folder.glob("*.log")))


@pytest.fixture
def deployment(postgres_url: str, tmp_path: Path) -> Iterator[Deployment]:
    programs = postgres_programs()
    assert programs is not None
    migrated_with_roles(postgres_url, programs, tmp_path)
    with guarded_redis(tmp_path) as redis:
        yield Deployment(tmp_path, postgres_url, redis)


async def test_everything_works_with_the_least_rights(deployment: Deployment) -> None:
    made = deployment.manage("setup", "app", "shell", "--no-imports", "-c", PREPARE)
    key = json.loads(made.strip().splitlines()[-1])

    with deployment.running():
        await asyncio.to_thread(wait_until, deployment.ready, 200, "every part is well", 0.5)
        async with logged_in(deployment, key) as client, httpx.AsyncClient(timeout=30) as browser:  # type: ignore[arg-type]
            await client.more_rows(60)
            await visit(deployment, browser)
            await press(deployment, browser)
            await client.told("parked", 60)

    assert deployment.redis.denied() == []
    logs = deployment.logs()
    for word in ("NOPERM", "NoPermission", "permission denied", "InsufficientPrivilege", "Traceback"):
        assert word not in logs, logs[max(0, logs.index(word) - 2000) : logs.index(word) + 1000]
    with psycopg.connect(as_role(deployment._database, "app")) as connection:
        actions = {row[0] for row in connection.execute("SELECT action FROM incidents_auditentry")}
    assert {"auth.sign_in", "gateway.open_breaker"} <= actions


async def visit(deployment: Deployment, browser: httpx.AsyncClient) -> None:
    """Sign in and look at every page."""
    form = await post(deployment, browser, "/login/", "/login/", username="root", password=PASSWORD)
    assert form.status_code == 302
    for path in PAGES:
        answer = await browser.get(deployment.url + path)
        assert answer.status_code == 200, (path, answer.text[:500])


async def press(deployment: Deployment, browser: httpx.AsyncClient) -> None:
    """Get a ticket, try a probe through the collect worker, and open the gateway's breaker."""
    token = browser.cookies["csrftoken"]
    ticket = await browser.post(
        f"{deployment.url}/api/v1/feed/tickets", headers={"X-CSRFToken": token, "Referer": deployment.url}
    )
    assert ticket.status_code == 200, ticket.text
    tried = await post(
        deployment,
        browser,
        "/monitors/add/",
        "/monitors/add/",
        **TRIED | {"url": f"{deployment.url}/health"},
    )
    assert tried.status_code == 200, tried.text[:500]
    (slot,) = {one["key"] for one in (await browser.get(f"{deployment.url}/api/v1/gateway")).json()}
    done = await post(
        deployment, browser, "/", f"/gateway/{slot}/", verb="open_breaker", reason="the test holds it"
    )
    assert done.status_code == 302


async def post(
    deployment: Deployment, browser: httpx.AsyncClient, page: str, path: str, **fields: str
) -> httpx.Response:
    """Send a form of ``page`` as a browser does."""
    shown = await browser.get(deployment.url + page)
    token = shown.text.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]
    return await browser.post(
        deployment.url + path,
        data=fields | {"csrfmiddlewaretoken": token},
        headers={"Referer": deployment.url + page},
    )
