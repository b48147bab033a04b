"""Rows of services, observations, endpoints, rules and alerts."""

from portal.monitoring.models.alert import Alert, Rule, RuleKind, RuleState
from portal.monitoring.models.event import EventAction, EventCursor, ServiceEvent
from portal.monitoring.models.probe import Endpoint, ProbeKind, ProbeResult, Vantage
from portal.monitoring.models.service import (
    Health,
    LogTemplate,
    Observation,
    RunState,
    RuntimeKind,
    Service,
    ServiceState,
)
from portal.monitoring.models.snapshot import ConfigSnapshot

__all__ = [
    "Alert",
    "ConfigSnapshot",
    "Endpoint",
    "EventAction",
    "EventCursor",
    "Health",
    "LogTemplate",
    "Observation",
    "ProbeKind",
    "ProbeResult",
    "Rule",
    "RuleKind",
    "RuleState",
    "RunState",
    "RuntimeKind",
    "Service",
    "ServiceEvent",
    "ServiceState",
    "Vantage",
]
