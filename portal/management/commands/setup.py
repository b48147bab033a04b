"""``manage.py setup``: the database of a deployment, before its other processes start. Safe to repeat."""

from __future__ import annotations

from typing import Any

from django.core.management import CommandError, call_command
from django.core.management.base import BaseCommand
from django.db import DatabaseError

from portal.env import env
from portal.management.commands.up import ADMIN, create_admin


class Command(BaseCommand):
    """Migrates, and creates the first administrator with ``ADMIN_PASSWORD`` (or one shown once)."""

    help = "Migrate the database and create the first administrator."

    def handle(self, *args: Any, **options: Any) -> None:
        """Prepare and tell.

        Raises:
            CommandError: the database cannot be used.
        """
        try:
            call_command("migrate", interactive=False, verbosity=0)
            given = env.str("ADMIN_PASSWORD", "")
            made = create_admin(given)
        except DatabaseError as error:
            raise CommandError(f"The database cannot be used: {str(error).splitlines()[0]}") from error
        self.stdout.write("bonghwa: the database is ready")
        if made is not None:
            shown = "the password of ADMIN_PASSWORD" if given else f"{made} (shown once)"
            self.stdout.write(f"bonghwa: sign in as {ADMIN} with {shown}")
