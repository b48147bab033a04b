"""The seed's outage as frozen evidence, in the shapes that the collectors produce."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from incidents.evidence import keep
from incidents.models import Evidence, EvidenceKind, Incident
from incidents.registry import Captured
from tests.incidents.conftest import NOW

#: A value that the evidence does not have at all.
ABSENT = object()
MIB, GIB = 1024**2, 1024**3
UPSTREAM = "wss://api.kiwoom.com:10000/api/dostk/websocket"

OTHERS = [
    {
        "service": "frontend",
        "state": "running",
        "health": "healthy",
        "cpu_percent": 3.83,
        "memory_bytes": 257 * MIB,
    },
    *(
        {
            "service": name,
            "state": "running",
            "health": "none",
            "cpu_percent": 0.2,
            "memory_bytes": 40 * MIB,
        }
        for name in ("redis", "worker")
    ),
]
METRICS: dict[str, Any] = {
    "service": "api-gateway",
    "runtime": "docker",
    "state": "running",
    "exit_code": None,
    "health": "unhealthy",
    "failing_streak": 397,
    "health_interval_s": 30.0,
    "cpu_percent": 102.8,
    "cpu_limit_cores": None,
    "memory_bytes": round(10.23 * GIB),
    "memory_limit_bytes": None,
    "restart_count": 0,
    "log_lines_per_s": 3641.5,
    "log_rate_is_lower_bound": True,
    "log_lines_total": 220_431,
    "series": [],
    "others": OTHERS,
}
HEALTH = {
    "service": "api-gateway",
    "status": "unhealthy",
    "failing_streak": 397,
    "interval_s": 30.0,
    "log": [{"at": NOW.isoformat(), "exit_code": 1, "output": "curl: (28) timed out"}],
}
LOGS: dict[str, Any] = {
    "service": "api-gateway",
    "lines_total": 220_431,
    "window_s": 600,
    "templates": [
        {
            "template": "WebSocket connection timeout <url>",
            "count": 218_431,
            "share": 0.9909,
            "sample": f"WebSocket connection timeout {UPSTREAM}",
        },
        {
            "template": "Reconnection failed after <n> attempts",
            "count": 2_000,
            "share": 0.0091,
            "sample": "Reconnection failed after 5 attempts",
        },
    ],
    "tail": [],
}
INSPECT = {
    "service": "api-gateway",
    "image": "api-gateway:1.4.2",
    "limits": {"cpu_cores": None, "memory_bytes": None, "memory_swap_bytes": None, "pids": None},
    "log_options": {"driver": "json-file"},
    "health_check": {"defined": True, "interval_s": 30.0},
    "restart_policy": "no",
    "env_names": ["KIWOOM_APP_KEY"],
    "labels": {},
}


def endpoint(kind: str, vantage: str, url: str, ok: bool | None, detail: str, latency_ms: float | None):
    return {
        "name": f"{kind} {vantage}",
        "kind": kind,
        "vantage": vantage,
        "url": url,
        "ok": ok,
        "detail": detail,
        "latency_ms": latency_ms,
        "at": NOW.isoformat(),
    }


PROBES = {
    "endpoints": [
        endpoint("http", "inside", "http://localhost:5111/health", True, "200", 12.4),
        endpoint("http", "public", "http://112.219.120.75:5111/health", True, "200", 18.0),
        endpoint("http", "domain", "https://stock.ralphpark.com/api/", False, "timeout (>15 s)", None),
        endpoint("websocket", "domain", "wss://stock.ralphpark.com/ws", False, "502 Bad Gateway", None),
    ]
}
SLOT = {
    "slot": "a1",
    "feed": "live",
    "session": "LIVE",
    "attempts_count": 0,
    "attempts": [],
    "last_error": "",
}
BUNDLES = {
    EvidenceKind.METRICS: ("api-gateway", METRICS),
    EvidenceKind.INSPECT: ("api-gateway", INSPECT),
    EvidenceKind.HEALTH: ("api-gateway", HEALTH),
    EvidenceKind.LOGS: ("api-gateway", LOGS),
    EvidenceKind.PROBES: ("", PROBES),
    EvidenceKind.GATEWAY: ("", {"slots": [SLOT]}),
}


def freeze(
    incident: Incident, *left_out: EvidenceKind, at: datetime = NOW, **changes: dict[str, Any]
) -> dict[str, Evidence]:
    """Keep the seed's evidence but for ``left_out``; ``changes`` replace values by kind."""
    kept = {}
    for kind, (subject, data) in BUNDLES.items():
        if kind not in left_out:
            values = {**data, **changes.get(kind.value, {})}
            there = {name: value for name, value in values.items() if value is not ABSENT}
            bundle = Captured(kind=kind, subject=subject, data=there)
            kept[kind.value] = keep(incident=incident, bundle=bundle, at=at)
    return kept
