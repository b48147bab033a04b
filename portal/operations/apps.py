"""App configuration of portal.operations."""

from importlib import import_module
from itertools import chain

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class OperationsConfig(AppConfig):
    """See ``portal/operations/__init__.py``."""

    name = "portal.operations"
    label = "operations"
    verbose_name = _("Operations")

    def ready(self) -> None:
        """Plug the evidence collectors and verifiers into incidents; their modules need loaded models."""
        evidence = import_module("portal.operations.evidence")
        registry = import_module("incidents.registry")
        for name, collector in (
            ("metrics", evidence.metrics),
            ("inspect", evidence.configuration),
            ("health", evidence.health),
            ("logs", evidence.logs),
            ("probes", evidence.probes),
            ("gateway", evidence.gateway),
        ):
            registry.register_collector(name, collector)
        names = ("verifiers", "posture", "drill_verifiers")
        plugged = [import_module(f"portal.operations.{name}").VERIFIERS for name in names]
        for verifier in chain(*plugged):
            registry.register_verifier(verifier)
