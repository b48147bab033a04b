"""Signed webhooks to a real receiver that verifies them as the documentation tells."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from incidents import notifications, vault, webhook
from incidents.models import ChannelKind, Delivery, DeliveryState
from tests.incidents.conftest import after, channel, fire
from tests.incidents.hook import receiver

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
GUIDE = Path(__file__).resolve().parent.parent.parent / "docs" / "notifications.md"
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("english", "loopback_is_listed")]


def signed_channel(hook, **changes):
    given = {
        "kind": ChannelKind.WEBHOOK,
        "address": vault.seal(hook.webhook_url),
        "signing_secret": vault.seal(SECRET),
    }
    return channel(hook, "relay", **{**given, **changes})


def documented():
    """Return ``verify`` of the documentation's example."""
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - our own documentation
    return names["verify"]


def run(seconds):
    return notifications.deliver(now=after(seconds), urls=[], chance=lambda: 0.5)


def test_the_receiver_can_verify_what_was_posted(hook):
    signed_channel(hook)
    fire()
    assert run(20) == 1

    headers, raw = hook.requests[0]
    expected = hmac.new(
        b"k" * 32, f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + raw, hashlib.sha256
    )
    assert headers["webhook-signature"] == "v1," + base64.b64encode(expected.digest()).decode()
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    message = json.loads(raw)
    assert (message["type"], message["id"]) == ("incident.opened", headers["webhook-id"])
    assert message["data"]["services"] == ["api-gateway"]
    assert message["data"]["alerts"][0]["value"] == 397


def test_the_documented_receiver_takes_it_and_refuses_what_was_changed_or_is_old(hook):
    signed_channel(hook)
    fire()
    run(20)
    headers, raw = hook.requests[0]
    verify = documented()

    assert verify(SECRET, headers, raw)
    assert not verify(SECRET, headers, raw + b" ")
    assert not verify("whsec_" + base64.b64encode(b"x" * 32).decode(), headers, raw)
    assert not verify(SECRET, {**headers, "webhook-timestamp": str(int(time.time()) - 301)}, raw)


def test_each_try_carries_the_same_id(hook):
    signed_channel(hook)
    fire()
    hook.answers = [503, 302]
    for seconds in (20, 25, 40):
        run(seconds)

    assert hook.calls == 3
    assert len({headers["webhook-id"] for headers, _raw in hook.requests}) == 1
    assert Delivery.objects.get().state == DeliveryState.SENT


def test_a_message_whose_worker_died_is_posted_again_under_its_id(hook):
    row = signed_channel(hook)
    fire()
    hook.answers = [503]
    run(20)
    Delivery.objects.update(state=DeliveryState.SENDING, claimed_at=after(25))
    for seconds in (86, 200, 400):
        run(seconds)

    assert hook.calls == 2
    assert len({headers["webhook-id"] for headers, _raw in hook.requests}) == 1
    assert Delivery.objects.get(channel=row).state == DeliveryState.SENT


def test_a_redirect_is_not_followed(hook, other):
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(307)
            self.send_header("Location", other.webhook_url)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with receiver(Handler) as moved:
        problem = webhook.post(
            url=moved.webhook_url, secret=SECRET, ident="x", timestamp=int(time.time()), payload={}
        )

    assert (problem, other.calls) == ("HTTP 307", 0)


def test_an_internal_target_is_not_connected_to(hook, settings):
    settings.CHANNEL_INTERNAL_TARGETS = ["localhost.example"]
    url = hook.webhook_url.replace("http://127.0.0.1", "https://127.0.0.1")
    assert webhook.post(url=url, secret=SECRET, ident="x", timestamp=0, payload={}) == "ConnectionError"
    assert hook.calls == 0


@pytest.mark.parametrize("secret", ["", "whsec_short", "whsec_" + base64.b64encode(b"k" * 10).decode(), "ä"])
def test_a_weak_secret_is_refused(secret):
    with pytest.raises(ValueError, match="signing secret"):
        webhook.key_of(secret)


def test_a_made_secret_is_strong():
    assert len(webhook.key_of(webhook.new_secret())) == 32
