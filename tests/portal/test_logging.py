"""No secret reaches a log line, and what Django refuses does not fill the log."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import pytest

from portal.logging import JsonFormatter, MaskingFormatter, RefusedRequests, environment_secrets, mask


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


def refusal(name: str = "DisallowedHost") -> logging.LogRecord:
    """What Django logs for a request that it refuses."""
    try:
        raise ValueError("100%")
    except ValueError as error:
        exc_info = (type(error), error, error.__traceback__)
    return logging.LogRecord(f"django.security.{name}", logging.ERROR, "", 0, "Invalid: 100%", (), exc_info)


def test_refused_requests_are_one_warning_a_minute_that_counts_the_others() -> None:
    now = 1_000.0
    refused = RefusedRequests(lambda: now)
    first, other = refusal(), refusal("csrf")

    assert [refused.filter(one) for one in (first, refusal(), refusal(), other)] == [True, False, False, True]
    now += 60
    later = refusal()
    assert refused.filter(later)
    assert MaskingFormatter("%(levelname)s %(message)s").format(first) == "WARNING Invalid: 100%"
    assert MaskingFormatter().format(later) == "Invalid: 100% (2 more were not logged)"


def test_what_is_no_refusal_passes_as_it_is() -> None:
    refused = RefusedRequests()
    records = [
        logging.LogRecord("django.request", logging.ERROR, "", 0, "broken", (), None) for _ in range(3)
    ]

    assert [refused.filter(one) for one in records] == [True] * 3
    assert {one.levelname for one in records} == {"ERROR"}
