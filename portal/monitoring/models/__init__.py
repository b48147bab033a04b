"""Rows of services, observations, endpoints, rules and alerts."""

from portal.monitoring.models.alert import Alert, Held, Market, Rule, RuleKind, RuleState
from portal.monitoring.models.event import EventAction, EventCursor, ServiceEvent
from portal.monitoring.models.probe import Endpoint, ProbeKind, ProbeResult
from portal.monitoring.models.prober import Prober
from portal.monitoring.models.quiet import MaintenanceWindow, Silence
from portal.monitoring.models.rollup import EndpointHour, EndpointMinute, ServiceHour, ServiceMinute
from portal.monitoring.models.selftest import SelfTest, SelfTestState
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
from portal.monitoring.models.vantage import Vantage

__all__ = [
    "Alert",
    "ConfigSnapshot",
    "Endpoint",
    "EndpointHour",
    "EndpointMinute",
    "EventAction",
    "EventCursor",
    "Health",
    "Held",
    "LogTemplate",
    "MaintenanceWindow",
    "Market",
    "Observation",
    "ProbeKind",
    "ProbeResult",
    "Prober",
    "Rule",
    "RuleKind",
    "RuleState",
    "RunState",
    "RuntimeKind",
    "SelfTest",
    "SelfTestState",
    "Service",
    "ServiceEvent",
    "ServiceHour",
    "ServiceMinute",
    "ServiceState",
    "Silence",
    "Vantage",
]
