"""``manage.py rotate_channel_key``: seal every channel's address again with the first key."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from incidents import channels, vault
from incidents.models import Channel

SEALED = ("address", "signing_secret")


class Command(BaseCommand):
    """Run it after a new key was put in front of ``CHANNEL_KEY``, before the old one is dropped."""

    help = "Seal the addresses of all channels again with the first key of CHANNEL_KEY."

    def handle(self, *args: Any, **options: Any) -> None:
        """Turn what can be read; name what cannot.

        Raises:
            CommandError: a channel's address cannot be read with any key.
        """
        turned, lost = 0, []
        for channel in Channel.objects.exclude(address=""):
            old = {name: getattr(channel, name) for name in SEALED}
            try:
                new = {name: vault.rotate(value) if value else "" for name, value in old.items()}
            except vault.Unreadable:
                lost.append(channel.name)
                continue
            # Only what was read: an address entered meanwhile is sealed with the first key already.
            turned += Channel.objects.filter(pk=channel.pk, **old).update(**new)
        channels.rename_environment(settings.NOTIFY_URLS)
        self.stdout.write(f"{turned} channels sealed with the first key.")
        if lost:
            raise CommandError(f"No key opens these, enter them again: {', '.join(lost)}")
