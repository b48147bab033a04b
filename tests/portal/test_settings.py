"""Variables: all listed, and a wrong one is one line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from gateway.config import FeedConfig, RetryConfig
from incidents.policy import Policy
from portal.database import database
from portal.env import data_dir

ROOT = Path(settings.BASE_DIR)


def test_every_variable_is_listed_in_the_example() -> None:
    source = "".join(
        (ROOT / "portal" / name).read_text() for name in ("database.py", "env.py", "settings.py")
    )
    read = set(re.findall(r'env\.(?:str|int|float|bool|list|enum)\(\s*"([A-Z_]+)"', source))
    read |= {f"FEED_{name.upper()}" for name in FeedConfig.__dataclass_fields__}
    read |= {f"NOTIFY_{name.upper()}" for name in Policy.__dataclass_fields__}
    listed = set(re.findall(r"^#([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))

    assert read - listed == set()


def test_the_reconnect_policy_has_its_defaults() -> None:
    assert settings.GATEWAY_UPSTREAM.retry == RetryConfig()


def test_an_empty_line_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "DATA_DIR"):
        monkeypatch.setenv(name, "")

    assert data_dir(tmp_path) == tmp_path / "var"
    assert database(tmp_path)["NAME"] == str(tmp_path / "bonghwa.sqlite3")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("PORT", "many", "PORT"),
        ("KIWOOM_MODE", "paper", "KIWOOM_MODE"),
        ("KIWOOM_MODE", "real", "needs KIWOOM_APP_KEY"),
        ("KIWOOM_WS_URL", "ws://example.com", "plain ws:// is allowed to loopback only"),
        ("FEED_MAX_CONNECTIONS", "x", "FEED_MAX_CONNECTIONS"),
        ("DATA_DIR", "/proc/nothing", "DATA_DIR"),
    ],
)
def test_a_wrong_value_stops_the_start_with_one_line(
    tmp_path: Path, name: str, value: str, told: str
) -> None:
    environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path), name: value}
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("bonghwa: ")
    assert told in line
