"""Each worker's proof that it lives: a task to itself, on a queue that it alone consumes.

Beat's heartbeat task goes to the queue that all workers of it share, so one of two workers may be given it
many times in a row while the other works as well and looks dead. A worker's own task takes the same way as
any other (broker, consumer, child), so a worker that no longer consumes falls silent. Beat's goes on: while
an installation is upgraded, a worker of the release before has no other.
"""

from __future__ import annotations

from typing import Any

import redis
from celery import bootsteps
from celery.signals import celeryd_after_setup
from celery.utils.log import get_task_logger
from celery.worker.consumer.tasks import Tasks
from kombu import Exchange, Queue
from kombu.exceptions import OperationalError

logger = get_task_logger(__name__)

PERIOD = 10.0
#: Seconds after which a heartbeat that was not taken is worth nothing: a child's time limit.
EXPIRES = 60
#: Seconds that a queue outlives its worker.
QUEUE_TTL = 3600
#: Seconds for the broker's answer; the worker consumes nothing meanwhile.
BROKER_TIMEOUT = 3.0


def own_queue(worker: str) -> Queue:
    """Return the queue that ``worker`` (``QUEUE@HOST``) alone consumes.

    It has no exchange: that of Celery's ``worker_direct`` keeps a binding of every worker that ever was.
    """
    name = f"{worker}.own"
    return Queue(name, exchange=Exchange(""), routing_key=name)


@celeryd_after_setup.connect
def consume_own_queue(sender: str, instance: Any, **_: object) -> None:
    """Let the worker named ``sender`` consume its own queue besides those of its command line."""
    instance.app.amqp.queues.select_add(own_queue(sender))


class WorkerHeartbeat(bootsteps.StartStopStep):
    """Sends the worker a heartbeat task each ``PERIOD`` seconds for as long as it is connected."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self.timer: Any = None
        self.failing = False

    def start(self, consumer: Any) -> None:
        """Begin; called anew after each loss of the broker, which clears the consumer's timers."""
        self.timer = consumer.timer.call_repeatedly(PERIOD, self.send, (consumer,))

    def stop(self, consumer: Any) -> None:
        """End."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    shutdown = stop

    def send(self, consumer: Any) -> None:
        """Send one heartbeat. A broker that does not take it is logged once: the worker then is silent."""
        queue = own_queue(consumer.hostname)
        try:
            with self._connection(consumer.app) as connection:
                consumer.app.send_task(
                    "portal.heartbeat",
                    args=(consumer.hostname.partition("@")[0],),
                    queue=queue,
                    expires=EXPIRES,
                    retry=False,
                    connection=connection,
                )
                connection.default_channel.client.expire(queue.name, QUEUE_TTL)
        except (OperationalError, redis.RedisError) as error:
            if not self.failing:
                logger.warning("heartbeat not sent: %s", type(error).__name__)
            self.failing = True
        else:
            self.failing = False

    @staticmethod
    def _connection(app: Any) -> Any:
        options = {
            **app.conf.broker_transport_options,
            "max_retries": 0,
            "socket_timeout": BROKER_TIMEOUT,
            "socket_connect_timeout": BROKER_TIMEOUT,
        }
        return app.connection_for_write(transport_options=options)
