"""What ``PUBLIC_URL=https://…`` turns on, from the environment to the headers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.databases import NAME, migrated
from tests.e2e.product import OWN, ROOT

ASK = """
import json
from django.test import Client
client = Client(headers={"host": "bonghwa.example"})
plain = client.get("/login/")
page = client.get("/login/", headers={"x-forwarded-proto": "https"})
print(json.dumps({
    "plain": [plain.status_code, plain.get("Location", "")],
    "page": [page.status_code, page.get("Strict-Transport-Security", "")],
    "cookie": {name: page.cookies["csrftoken"][name] for name in ("secure", "httponly", "samesite")},
    "elsewhere": client.get("/login/", headers={"host": "elsewhere.example"}).status_code,
}))
from django.conf import settings
print(json.dumps([settings.SESSION_COOKIE_SECURE, settings.SESSION_COOKIE_HTTPONLY]))
"""


def test_https_makes_cookies_secure_and_browsers_remember_it(tmp_path: Path) -> None:
    migrated(tmp_path / NAME)
    environment = {name: value for name, value in os.environ.items() if name not in OWN} | {
        "DATA_DIR": str(tmp_path),
        "REDIS_URL": os.environ["REDIS_URL"],
        "PUBLIC_URL": "https://bonghwa.example",
        "ALLOWED_HOSTS": "bonghwa.example",
        "TRUSTED_PROXIES": "127.0.0.1",
        "WATCHER": "false",
    }
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", ASK],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *_logs, told, session = done.stdout.strip().splitlines()
    seen = json.loads(told)

    assert seen["plain"] == [301, "https://bonghwa.example/login/"]
    assert seen["page"] == [200, "max-age=31536000; includeSubDomains; preload"]
    assert seen["cookie"] == {"secure": True, "httponly": True, "samesite": "Lax"}
    assert seen["elsewhere"] == 400
    assert json.loads(session) == [True, True]
