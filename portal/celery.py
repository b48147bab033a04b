"""Celery application: JSON ids only, two queues (``collect`` and ``ops``), heartbeats of every worker."""

from __future__ import annotations

import os
from typing import Any

import redis
from celery import Celery, Task
from celery.signals import celeryd_init, worker_ready
from celery.utils.log import get_task_logger

from portal.worker_heartbeat import WorkerHeartbeat

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

app = Celery("portal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["consumer"].add(WorkerHeartbeat)

logger = get_task_logger(__name__)


@app.task(bind=True, name="portal.heartbeat", ignore_result=True)
def heartbeat(self: Task[..., None], queue: str) -> None:
    """Prove that this worker takes and finishes tasks; the name holds ``queue`` and the worker's host."""
    from portal.heartbeat import write  # settings are ready only once a task runs

    host = str(self.request.hostname or f"{queue}@local")
    write(f"worker:{queue}@{host.partition('@')[2]}")


@app.task(name="portal.watch", ignore_result=True)
def watch() -> None:
    """Tell people when beat or a worker is silent."""
    from portal.watchers import look_once  # as above

    look_once()


@app.task(name="portal.dead_man", ignore_result=True)
def dead_man() -> None:
    """Ping the dead-man URL while everything is well."""
    from portal.deadman import ping  # as above

    ping()


@celeryd_init.connect
def keep_own_deliveries(sender: Any, conf: Any, **_: object) -> None:
    """Keep what this worker took and has not finished apart from other queues' workers, as Redis's ACL does.

    ``sender`` is the worker's name, ``QUEUE@HOST``.
    """
    queue = str(sender).partition("@")[0]
    conf.broker_transport_options = {
        **conf.broker_transport_options,
        "unacked_key": f"unacked:{queue}",
        "unacked_index_key": f"unacked:{queue}:index",
        "unacked_mutex_key": f"unacked:{queue}:mutex",
    }


@worker_ready.connect
def first_heartbeat(sender: Any, **_: object) -> None:
    """Write the first heartbeat as soon as the worker consumes, ahead of beat's first period."""
    from portal.heartbeat import write  # as above

    try:
        write(f"worker:{sender.hostname}")
    except redis.RedisError as error:
        logger.warning("first heartbeat not written: %s", error)
