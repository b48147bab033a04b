"""Rows of services, observations, endpoints, rules and alerts."""

from portal.monitoring.models.alert import Alert, Held, Market, Rule, RuleKind, RuleState
from portal.monitoring.models.probe import Endpoint, ProbeKind, ProbeResult, Vantage
from portal.monitoring.models.quiet import MaintenanceWindow, Silence
from portal.monitoring.models.service import (
    Health,
    LogTemplate,
    Observation,
    RunState,
    RuntimeKind,
    Service,
    ServiceState,
)

__all__ = [
    "Alert",
    "Endpoint",
    "Health",
    "Held",
    "LogTemplate",
    "MaintenanceWindow",
    "Market",
    "Observation",
    "ProbeKind",
    "ProbeResult",
    "Rule",
    "RuleKind",
    "RuleState",
    "RunState",
    "RuntimeKind",
    "Service",
    "ServiceState",
    "Silence",
    "Vantage",
]
