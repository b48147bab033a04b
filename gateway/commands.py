"""What people tell the gateway, and the record of it."""

from __future__ import annotations

import logging
import time
from typing import Final

import orjson
import redis
from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser

from gateway import keys
from gateway.models import GatewayCommand

logger = logging.getLogger(__name__)

VERBS: Final = ("resume", "open_breaker", "close_breaker")
#: Characters of a reason that are kept.
REASON_MAX: Final = 200


def give(
    client: redis.Redis, *, slot: str, verb: str, reason: str, by: AbstractBaseUser | None
) -> GatewayCommand:
    """Record who asks what of ``slot`` and why, then queue it for the process that owns the slot.

    The record comes first, so that nothing happens without one; its outcome says whether Redis took it.

    Raises:
        ValueError: the slot or the verb is not one of ours, or there is no reason.
        redis.RedisError: Redis does not answer; the command is recorded as undelivered.
    """
    reason = reason.strip()[:REASON_MAX]
    if slot not in {key.slot for key in settings.GATEWAY_UPSTREAM.keys} or verb not in VERBS:
        raise ValueError("unknown slot or command")
    if not reason:
        raise ValueError("a reason is required")
    who = by.get_username() if by is not None else ""
    record = GatewayCommand.objects.create(
        slot=slot, verb=verb, reason=reason, who=who, by_id=by.pk if by else None
    )
    try:
        _queue(client, record)
    except redis.RedisError:
        _finish(record, GatewayCommand.Outcome.UNDELIVERED)
        raise
    _finish(record, GatewayCommand.Outcome.QUEUED)
    return record


def _queue(client: redis.Redis, record: GatewayCommand) -> None:
    name = keys.COMMANDS.format(slot=record.slot)
    message = {"verb": record.verb, "reason": record.reason, "by": record.who, "at": time.time()}
    held = keys.HELD.format(slot=record.slot)
    pipeline = client.pipeline()
    if record.verb == "open_breaker":
        pipeline.set(held, f"{record.reason} (by {record.who})")
    elif record.verb == "close_breaker":
        pipeline.delete(held)
    pipeline.rpush(name, orjson.dumps(message))
    pipeline.ltrim(name, -keys.COMMANDS_MAX, -1)
    pipeline.execute()


def _finish(record: GatewayCommand, outcome: GatewayCommand.Outcome) -> None:
    record.outcome = outcome
    record.save(update_fields=["outcome"])
    logger.warning(
        "gateway command %s on %s by %s: %r (%s)",
        *(record.verb, record.slot, record.who, record.reason, outcome.value),
    )
