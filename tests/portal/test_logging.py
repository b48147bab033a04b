"""No secret reaches a log line."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import pytest

from portal.logging import JsonFormatter, MaskingFormatter, environment_secrets, mask


@pytest.mark.parametrize(
    ("line", "gone"),
    [
        ("Authorization: Bearer abc.def.ghi", "abc.def.ghi"),
        ('{"appkey":"K1K1K1","secretkey":"S1S1S1"}', "K1K1K1"),
        ('{"appkey":"K1K1K1","secretkey":"S1S1S1"}', "S1S1S1"),
        ("GET /x?token=t0ken&y=1", "t0ken"),
        ("redis://user:hunter22@host:6379/0", "hunter22"),
    ],
)
def test_credentials_are_masked(line: str, gone: str) -> None:
    assert gone in line
    assert gone not in mask(line)
    assert "***" in mask(line)


def test_ordinary_text_stays() -> None:
    line = "key-1: live after 3 attempts, token renewed, http://host:8000/health"

    assert mask(line) == line


def test_secrets_of_the_environment_and_of_files_are_masked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("from-a-file-1\n")
    monkeypatch.delenv("KIWOOM_SECRET_KEY", raising=False)
    monkeypatch.setenv("KIWOOM_SECRET_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("KIWOOM_APP_KEY", "first-app-key, second-app-key")

    line = mask("first-app-key second-app-key from-a-file-1", environment_secrets())

    assert line == "*** *** ***"


def record(text: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord("x", logging.INFO, "x.py", 1, text, args, None)


def test_arguments_and_tracebacks_are_masked_too() -> None:
    try:
        raise ValueError("password=hunter22")
    except ValueError:
        failed = record("sent %s", "token=abcdef")
        failed.exc_info = sys.exc_info()

    line = MaskingFormatter("%(message)s").format(failed)
    entry = json.loads(JsonFormatter().format(failed))

    for text in (line, entry["message"], entry["traceback"]):
        assert "hunter22" not in text
        assert "abcdef" not in text
