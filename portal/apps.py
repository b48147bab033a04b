"""App configuration of the composition root."""

from django.apps import AppConfig


class PortalConfig(AppConfig):
    """Settings, URLs, system checks and start-up commands."""

    name = "portal"
