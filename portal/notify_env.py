"""Reads the ``NOTIFY_*`` numbers of the delivery of messages."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from environs import EnvError

from incidents.policy import Policy
from portal.env import env

#: Schemes of Apprise that an administrator may enter.
CHANNEL_SCHEMES_DEFAULT = (
    *("tgram", "slack", "discord", "kakao", "kakaotalk", "line", "ncloud", "gchat", "wxteams", "workflow"),
    *("workflows", "mailto", "mailtos", "mmost", "mmosts", "rocket", "rockets", "zulip", "lark", "dingtalk"),
    *("feishu", "ntfys", "gotifys", "pover", "pagerduty", "opsgenie", "twilio", "json", "jsons"),
)


def notify_policy() -> Policy:
    """Read ``NOTIFY_*``; ``portal.checks`` says whether the numbers can be meant.

    Raises:
        ImproperlyConfigured: a value is no number.
    """
    values: dict[str, Any] = {}
    readers: dict[type, Any] = {int: env.int, float: env.float}
    try:
        for one in fields(Policy):
            name = f"NOTIFY_{one.name.upper()}"
            if isinstance(one.default, tuple):
                values[one.name] = tuple(env.list(name, list(one.default), subcast=float))
            else:
                values[one.name] = readers[type(one.default)](name, one.default)
    except (EnvError, ValueError) as error:
        raise ImproperlyConfigured(str(error)) from error
    return Policy(**values)
