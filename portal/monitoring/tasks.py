"""Beat's tasks: sweep, probe, watch the gateway, roll up, prune. Each holds a lock and soon expires."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from celery import shared_task
from django.utils import timezone

from incidents import evidence_more
from portal import heartbeat
from portal.monitoring import (
    access,
    alerting,
    engine,
    events,
    gateway,
    pace,
    probing,
    push,
    retention,
    rollups,
    selftest,
    services,
    store,
    tables,
    trial,
)
from portal.monitoring.collector import Sweep, sweep
from portal.monitoring.models import RuntimeKind
from portal.monitoring.probes.run import probe_due

logger = logging.getLogger(__name__)

#: Seconds after which a lock is free although its task never ended; above every task's own limit.
LOCK_S = 60.0


@shared_task(name="monitoring.collect", ignore_result=True)
def collect(runtime: str) -> None:
    """Sweep ``runtime`` (``docker`` or ``process``), store it and evaluate the rules."""
    kind = RuntimeKind(runtime)
    with store.lock(f"collect:{kind}", LOCK_S) as free:
        if not free:
            return
        if access.is_used(kind) and not store.backing_off(kind):
            _collect(kind)
    heartbeat.write(f"{heartbeat.ROUND}sweep:{kind}")


def _collect(kind: RuntimeKind) -> None:
    memory = store.load_memory(kind)
    since = events.read_from(kind, timezone.now())
    with access.opened(kind, memory) as opened:
        result = sweep(opened, memory, events_since=since)
        guarded = None if result.error else store.guarded(kind, opened.is_guarded)
    store.save_memory(kind, memory)
    engine.evaluate(services.record(result))
    evidence_more.ended(events.ended_since(kind, since), timezone.now())
    _note(result, guarded)


def _note(result: Sweep, guarded: bool | None) -> None:
    """Keep the sweep's cost; log a dead runtime once, and its return once."""
    interval = pace.BASE_S
    if result.error:
        delay = store.note_failure(result.runtime)
        if delay <= 5:
            logger.warning("%s: %s", result.runtime.label, result.error)
    elif store.note_success(result.runtime):
        logger.warning("%s answers again", result.runtime.label)
    else:
        interval = store.note_pace(result.runtime, result.p95_ms)
    store.save_cost(
        store.Cost(
            at=datetime.now(UTC).isoformat(),
            runtime=result.runtime.value,
            ms=result.ms,
            services=len(result.readings),
            skipped=result.skipped,
            error=result.error,
            calls=result.calls,
            p95_ms=result.p95_ms,
            interval_s=interval,
            gaps=events.gaps(result.runtime),
            guarded=guarded,
        )
    )


@shared_task(name="monitoring.probe", ignore_result=True)
def probe() -> None:
    """Probe the endpoints that are due and evaluate their rules, and those of what was pushed."""
    with store.lock("probe", LOCK_S) as free:
        if not free:
            return
        _evaluate_pushed()
        engine.evaluate(push.silences(timezone.now()))
        for batch in probe_due(probing.claim, probing.probe):
            engine.evaluate(probing.record(batch))
            _evaluate_pushed()
        now = timezone.now()
        probing.mark_stale(now)
        engine.close_unwatched(now)
        alerting.release_held(now)
    heartbeat.write(f"{heartbeat.ROUND}probes")


def _evaluate_pushed() -> None:
    numbers, samples = probing.take_pushed()
    if numbers:
        engine.evaluate(samples)
        probing.pushed_done(numbers)


@shared_task(name="monitoring.try_probe", ignore_result=True)
def try_probe(ident: str) -> None:
    """Run the probe that somebody wants to see before saving it; ``ident`` names it in Redis."""
    trial.run(ident)


@shared_task(name="monitoring.watch_gateway", ignore_result=True)
def watch_gateway() -> None:
    """Evaluate the gateway's rules."""
    with store.lock("gateway", LOCK_S) as free:
        if free:
            engine.evaluate(gateway.samples(timezone.now()))


@shared_task(name="monitoring.prune", ignore_result=True)
def prune() -> None:
    """Delete what is older than its retention."""
    with store.lock("prune", LOCK_S) as free:
        if free:
            logger.info("pruned %s", retention.prune(timezone.now()))


@shared_task(name="monitoring.roll_up", ignore_result=True)
def roll_up() -> None:
    """Roll readings and probes up into minutes and hours."""
    with store.lock("roll-up", LOCK_S) as free:
        if free:
            rollups.roll_up(timezone.now())


@shared_task(name="monitoring.measure_tables", ignore_result=True)
def measure_tables() -> None:
    """Measure how large each table is."""
    with store.lock("measure-tables", LOCK_S) as free:
        if free:
            tables.save(tables.measure(timezone.now()))


@shared_task(name="monitoring.self_test", ignore_result=True)
def self_test() -> None:
    """Begin the weekly self-test."""
    try:
        selftest.start(now=timezone.now())
    except selftest.AlreadyRunning:
        logger.warning("self-test not begun: another one is running")


@shared_task(name="monitoring.settle_self_tests", ignore_result=True)
def settle_self_tests() -> None:
    """Give a running self-test its result."""
    selftest.settle(timezone.now())
