"""Beat's tasks: sweep, probe, watch the gateway, prune. Each holds a lock and expires after its period."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from celery import shared_task
from django.utils import timezone

from portal.monitoring import access, engine, gateway, probing, services, store, trial
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
        if not free or not access.is_used(kind) or store.backing_off(kind):
            return
        memory = store.load_memory(kind)
        with access.opened(kind, memory) as opened:
            result = sweep(opened, memory)
        store.save_memory(kind, memory)
        engine.evaluate(services.record(result))
        _note(result)


def _note(result: Sweep) -> None:
    """Keep the sweep's cost; log a dead runtime once, and its return once."""
    if result.error:
        delay = store.note_failure(result.runtime)
        if delay <= 5:
            logger.warning("%s: %s", result.runtime.label, result.error)
    elif store.note_success(result.runtime):
        logger.warning("%s answers again", result.runtime.label)
    store.save_cost(
        store.Cost(
            at=datetime.now(UTC).isoformat(),
            runtime=result.runtime.value,
            ms=result.ms,
            services=len(result.readings),
            skipped=result.skipped,
            error=result.error,
        )
    )


@shared_task(name="monitoring.probe", ignore_result=True)
def probe() -> None:
    """Probe the endpoints that are due and evaluate their rules, and those of what was pushed."""
    with store.lock("probe", LOCK_S) as free:
        if not free:
            return
        _evaluate_pushed()
        for batch in probe_due(probing.claim, probing.probe):
            engine.evaluate(probing.record(batch))
            _evaluate_pushed()
        now = timezone.now()
        probing.mark_stale(now)
        engine.close_unwatched(now)


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
            logger.info("pruned %s", services.prune(timezone.now()))
