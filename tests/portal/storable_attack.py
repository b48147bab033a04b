"""Sends text that no database keeps to every place that takes text; prints the answers.

Run as ``python -m tests.portal.storable_attack`` with the settings of a migrated database in the environment.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import django

NUL, HALF = "a\x00b", "a\\ud800b"
#: Decodes ``HALF`` to half a surrogate pair.
CHARSET = "unicode_escape"


def attack(user: Any) -> dict[str, tuple[int, str]]:
    """Return status and text by what was sent."""
    from django.test import Client

    client = Client(raise_request_exception=False)
    client.force_login(user)
    session = Client(raise_request_exception=False)
    session.cookies["sessionid"] = NUL * 8
    answers = {
        "path": client.get("/feed/operations/a%00b/c/"),
        "query": client.get("/audit/", {"actor": NUL}),
        "name in the query": client.get("/audit/", {NUL: "x"}),
        "half a pair in the query": client.get(
            f"/audit/?actor={HALF}", CONTENT_TYPE=f"text/plain; charset={CHARSET}"
        ),
        "form": client.post("/incidents/7/act/", {"verb": "lead", "lead": NUL}),
        "pasted report": client.post("/incidents/import/", {"text": f"# x\n{NUL}"}),
        "owner of a measure": client.post("/checklist/1/act/", {"verb": "assign", "owner": NUL}),
        "sign-in": Client(raise_request_exception=False).post("/login/", {"username": NUL, "password": "x"}),
        "admin": client.get("/admin/incidents/incident/", {"q": NUL}),
        "session": session.get("/"),
    }
    return {name: (answer.status_code, answer.content.decode()[:300]) for name, answer in answers.items()}


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    django.setup()
    from django.conf import settings
    from django.contrib.auth.models import User

    settings.ALLOWED_HOSTS = [*settings.ALLOWED_HOSTS, "testserver"]
    sys.stdout.write(json.dumps(attack(User.objects.create_superuser("root"))))
