"""``manage.py feedkey``: make, list and revoke feed keys."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

import redis
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from gateway import auth
from gateway.feed_store import sync_client
from gateway.models import FeedKey


class Command(BaseCommand):
    """Manage feed keys from the command line."""

    help = str(_("Make, list and revoke feed keys."))

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the three verbs."""
        verbs = parser.add_subparsers(dest="verb", required=True)
        create = verbs.add_parser("create", help="make a key pair and print it once")
        create.add_argument("--name", required=True)
        create.add_argument("--json", action="store_true")
        listing = verbs.add_parser("list", help="list the keys, without secrets")
        listing.add_argument("--json", action="store_true")
        revoke = verbs.add_parser("revoke", help="revoke a key and end its connections")
        revoke.add_argument("--name", required=True)

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        """Carry out ``verb``."""
        match verb:
            case "create":
                self._create(options["name"], as_json=options["json"])
            case "list":
                self._list(as_json=options["json"])
            case _:
                self._revoke(options["name"])

    def _create(self, name: str, *, as_json: bool) -> None:
        key = FeedKey(name=name)
        secret = key.make_secret()
        try:
            key.full_clean()
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from error
        key.save()
        if as_json:
            self.stdout.write(json.dumps({"app_key": key.app_key, "secret_key": secret}))
        else:
            self.stdout.write(f"app_key={key.app_key}\nsecret_key={secret}")

    def _list(self, *, as_json: bool) -> None:
        now = timezone.now()
        rows = [
            {
                "name": key.name,
                "app_key": key.app_key,
                "state": "revoked" if key.revoked_at else "usable" if key.is_usable(now) else "expired",
                "created_at": key.created_at.isoformat(),
                "expires_at": key.expires_at.isoformat() if key.expires_at else None,
                "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
                "last_used_at": key.last_used_at.isoformat() if key.last_used_at else None,
            }
            for key in FeedKey.objects.all()
        ]
        if as_json:
            self.stdout.write(json.dumps(rows))
            return
        for row in rows:
            self.stdout.write(
                f"{row['name']}\t{row['app_key']}\t{row['state']}\t{row['last_used_at'] or '-'}"
            )

    def _revoke(self, name: str) -> None:
        try:
            key = FeedKey.objects.get(name=name)
        except FeedKey.DoesNotExist as error:
            raise CommandError(f"There is no feed key named {name!r}.") from error
        try:
            auth.revoke_key(sync_client(), key)
        except redis.RedisError:
            self.stderr.write("Redis does not answer: connections of the key end within a minute.")
        self.stdout.write(f"Revoked {name}.")
