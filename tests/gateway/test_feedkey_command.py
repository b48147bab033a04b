"""``manage.py feedkey list``."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.utils import timezone

from gateway.models import FeedKey

pytestmark = pytest.mark.django_db


def test_the_list_tells_each_keys_state_and_no_secret() -> None:
    now = timezone.now()
    ends = {"expired": {"expires_at": now - timedelta(days=1)}, "revoked": {"revoked_at": now}, "usable": {}}
    for name, fields in ends.items():
        key = FeedKey(name=name, **fields)
        key.make_secret()
        key.save()
    text, as_json = StringIO(), StringIO()

    call_command("feedkey", "list", stdout=text)
    call_command("feedkey", "list", "--json", stdout=as_json)

    lines = [line.split("\t") for line in text.getvalue().splitlines()]
    assert [(name, state) for name, _app_key, state, _used in lines] == [(name, name) for name in ends]
    assert [row["state"] for row in json.loads(as_json.getvalue())] == list(ends)
    for key in FeedKey.objects.all():
        assert key.secret_sha256 not in text.getvalue() + as_json.getvalue()
