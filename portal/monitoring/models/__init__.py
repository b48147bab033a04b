"""Rows of services, observations, endpoints, rules and alerts."""

from portal.monitoring.models.alert import Alert, Rule, RuleKind, RuleState
from portal.monitoring.models.probe import Endpoint, ProbeKind, ProbeResult, Vantage
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

__all__ = [
    "Alert",
    "Endpoint",
    "EndpointHour",
    "EndpointMinute",
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
    "SelfTest",
    "SelfTestState",
    "Service",
    "ServiceHour",
    "ServiceMinute",
    "ServiceState",
    "Vantage",
]
