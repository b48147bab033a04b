"""App configuration of portal.operations."""

from importlib import import_module
from itertools import chain

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

#: Modules with ``VERIFIERS``; of two verifiers whose words a line holds the first is bound to it.
MODULES = (
    *("verifiers", "retry_verifiers", "reach_verifiers", "forwarding_verifier"),
    *("posture", "drill_verifiers"),
)


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
        registry.register_follower("metrics", import_module("portal.operations.after").measurements)
        plugged = [import_module(f"portal.operations.{name}").VERIFIERS for name in MODULES]
        for verifier in chain(*plugged):
            registry.register_verifier(verifier)
        drills = import_module("portal.operations.drill_verifiers")
        registry.register_witness("drill", drills.beside)
        causes = import_module("portal.operations.causes")
        registry.register_explainer("configuration", causes.of_configuration)
        registry.register_explainer("rules", causes.of_rules)
        registry.register_explainer("gateway", causes.of_gateway)
