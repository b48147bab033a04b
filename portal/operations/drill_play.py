"""Plays one ordered drill: the stage's event loop, and the row that shows how far it is."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping

import redis
from asgiref.sync import sync_to_async
from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from gateway.config import UpstreamConfig
from gateway.drills.plan import PLANS, Drill, Measured, Plan
from gateway.drills.stage import DrillAborted, DrillBroken, Stage, settings_of_running
from gateway.status import read_statuses
from portal.monitoring import store
from portal.operations import drill_flood, drills
from portal.operations.models import DrillKind, DrillRun, DrillState

#: Seconds between two writes of the figures so far.
WRITE_EVERY = 2.0
#: Secrets and addresses of the real server; the session under drill gets none of them.
HIDDEN = ("KIWOOM_", "DATABASE_URL", "SECRET_KEY", "AUDIT_KEY", "NOTIFY_", "CHANNEL_", "DEADMAN_")


def play(run: DrillRun, plans: Mapping[Drill, Plan] = PLANS) -> DrillRun:
    """Play ``run``, which this process has claimed, and write its result whatever happens."""
    try:
        flood = run.drill == DrillKind.LOG_FLOOD
        measured = _flood(run) if flood else asyncio.run(_play(run, plans[Drill(run.drill)]))
    except DrillAborted:
        drills.give_up(run, DrillState.ABORTED, timezone.now(), _("Ended before it had a result."))
    except (DrillBroken, OSError, redis.RedisError) as error:
        drills.give_up(run, DrillState.BROKEN, timezone.now(), str(error))
    except asyncio.CancelledError:
        drills.give_up(run, DrillState.ABORTED, timezone.now(), _("The worker was told to stop."))
    else:
        drills.finish(run, measured, timezone.now())
    run.refresh_from_db()
    return run


async def _play(run: DrillRun, plan: Plan) -> Measured:
    config, whose = running_settings()
    written = 0.0

    async def progress(measured: Measured) -> bool:
        nonlocal written
        if time.monotonic() - written < WRITE_EVERY:
            return True
        written = time.monotonic()
        return await sync_to_async(drills.beat)(run.pk, measured, timezone.now())

    stage = Stage(
        plan,
        config,
        command=[sys.executable, str(settings.BASE_DIR / "manage.py"), "drill_rig", "--out"],
        environment=environment(os.environ),
        redis_url=settings.REDIS_URL,
        ident=str(run.pk),
        progress=progress,
        settings_of=whose,
    )
    playing = asyncio.ensure_future(stage.play())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, playing.cancel)
    return await playing


def _flood(run: DrillRun) -> Measured:
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    written = 0.0

    def progress(measured: Measured) -> bool:
        nonlocal written
        if time.monotonic() - written < WRITE_EVERY:
            return not told.is_set()
        written = time.monotonic()
        return drills.beat(run.pk, measured, timezone.now()) and not told.is_set()

    return drill_flood.flood(settings.DATA_DIR / "drills", progress)


def running_settings() -> tuple[UpstreamConfig, str]:
    """Return the settings to drill and whose they are.

    The retry settings are those that a running gateway tells, since its environment may differ from ours; the
    second value is its slot, or empty when none tells any.
    """
    config = settings.GATEWAY_UPSTREAM
    try:
        statuses = read_statuses(store.client(), [key.slot for key in config.keys])
        for status in statuses:
            if status.retry:
                return settings_of_running(status.retry, config), status.slot
    except (redis.RedisError, ValueError, TypeError):
        return config, ""
    return config, ""


def environment(own: Mapping[str, str]) -> dict[str, str]:
    """Return the rig's environment: ours without keys, real addresses, database and channels."""
    kept = {name: value for name, value in own.items() if not name.startswith(HIDDEN)}
    # Explicit, so that a .env file cannot bring them back.
    return kept | {
        "KIWOOM_MODE": "simulator",
        "KIWOOM_APP_KEY": "drill",
        "KIWOOM_SECRET_KEY": "drill-secret",
        "KIWOOM_REST_URL": "",
        "KIWOOM_WS_URL": "",
        "AUDIT_KEY": "",
        "DATABASE_URL": "sqlite://:memory:",
        "NOTIFY_URLS": "",
        "DEADMAN_URL": "",
        "REDIS_URL": settings.REDIS_URL,
        "DATA_DIR": str(settings.DATA_DIR),
    }
