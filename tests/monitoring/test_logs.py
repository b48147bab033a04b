"""Log lines are made safe before anything is stored, and counted by template."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.monitoring.logs import (
    MAX_LINE,
    MAX_TEMPLATE,
    clean,
    mask_secrets,
    safe_line,
    safe_lines,
    summarise,
    template_of,
)
from portal.monitoring.masking import MAX_PEM_LINES

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        ("Authorization: Bearer abcDEF123456", "abcDEF123456"),
        ("authorization=abcDEF123456", "abcDEF123456"),
        ('{"authorization": "Bearer abcDEF123456"}', "abcDEF123456"),
        ("appkey=PSxyz987654321 secretkey=qwErTy555", "PSxyz987654321"),
        ("appkey=PSxyz987654321 secretkey=qwErTy555", "qwErTy555"),
        ('{"app_key":"K1K2K3K4","secret_key":"S9S8S7S6"}', "S9S8S7S6"),
        ("GET /ws?token=tok_12345&x=1", "tok_12345"),
        ('"access_token": "abc.def"', "abc.def"),
        (f"login with {JWT} failed", "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"),
        ("postgres://bob:hunter2@db:5432/app", "hunter2"),
        ("DB_PASSWORD=hunter2", "hunter2"),
        ("redis://:hunter2@redis:6379/0 refused", "hunter2"),
        ("https://hunter2@registry/x", "hunter2"),
        ("AWS_SECRET_ACCESS_KEY=hunter2", "hunter2"),
        ("userPassword=hunter2", "hunter2"),
        ("authToken: hunter2", "hunter2"),
        ("Set-Cookie: a=1; csrftoken=x; sessionid=hunter2; Path=/", "hunter2"),
        (r"body {\"token\": \"hunter2\", \"n\": 1}", "hunter2"),
        ("계좌번호: 1234567890", "1234567890"),
        ("account 12345678-01 rejected", "12345678-01"),
        ("acnt_no=5123456789", "5123456789"),
        ("order for 5123456789 failed", "5123456789"),
        (
            "app PSxyzAb9876543210QWERtyuiopASDFghjklZXCVb12 loaded",
            "PSxyzAb9876543210QWERtyuiopASDFghjklZXCVb12",
        ),
        ("postgres://bob:hun@ter2@db/app", "ter2"),
        ("mysql --password hunter2 -u bob", "hunter2"),
        ("token: Bearer hunter2", "hunter2"),
        ("비밀번호: hunter2", "hunter2"),
        ("GET /maps?key=hunter2 200", "hunter2"),
        ("https://api.telegram.org/bot123456789:AAEhBOweik6ad9r_QXMENQjcrGbqCr4K-bc/send", "AAEhBOweik6ad9r"),
        ("https://hooks.slack.com/services/T000/B000/hunter2XX", "hunter2XX"),
        ("https://discord.com/api/webhooks/123/hunter2XX", "hunter2XX"),
        ("aws AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
        ("clone with ghp_16C7e42F292c6912E7710c838347Ae178B4a", "16C7e42F292c6912"),
        (r"key -----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----", "hunter2"),
        ("-----BEGIN RSA PRIVATE KEY----- hunter2 and no end", "hunter2"),
        (
            "MIIEvQIBADANBgkqhkiG9w0BAQEF/ASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj",
            "ASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj",
        ),
    ],
)
def test_secrets_never_survive(line: str, secret: str) -> None:
    assert secret in line
    assert secret not in safe_line(line)


@pytest.mark.parametrize(
    "line",
    [
        "tokens used: many",
        "started at 1790000000",
        "item 005930 price 71200",
        "GET /api/v1/feed 200 12ms",
        "pulled sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "job 550e8400-e29b-41d4-a716-446655440000 of api-gateway-7d9f8c6b54-x2x4z",
        "File /usr/lib/python3/dist-packages/Foo9Bar/SomethingVeryLong12/Hello/World.py",
        "ReconnectingWebSocketClientFactoryImpl2 started",
    ],
)
def test_what_is_no_secret_stays(line: str) -> None:
    assert mask_secrets(line) == line


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("\x1b[31mred\x1b[0m text", "red text"),
        ("\x1b]0;title\x07after", "after"),
        ("a\x00b\x08c\rd", "abcd"),
        ("\u202eabc\u200b", "abc"),
        ("한글 로그", "한글 로그"),
        ("\ud800x", "\ufffdx"),
    ],
)
def test_control_characters_are_stripped(line: str, shown: str) -> None:
    assert clean(line) == shown


@pytest.mark.parametrize(
    ("line", "template"),
    [
        ("2026-02-06T09:15:01.123Z ERROR attempt 17", "<time> ERROR attempt <n>"),
        ("[09:15:01,123] retry in 0.5 s", "[<time>] retry in <n> s"),
        ("job 550e8400-e29b-41d4-a716-446655440000 done", "job <id> done"),
        ("ptr 0xDEADBEEF hash 9f86d081884c7d65", "ptr <hex> hash <hex>"),
        ("connect 10.0.0.7:8080 refused", "connect <addr> refused"),
        ("Reconnection failed after 5 attempts", "Reconnection failed after <n> attempts"),
    ],
)
def test_what_varies_is_masked(line: str, template: str) -> None:
    assert template_of(line) == template


def test_lines_are_counted_by_template() -> None:
    lines = [f"WebSocket connection timeout #{n}" for n in range(900)] + ["up"] * 100 + ["", "  "]
    found = summarise(lines, top=5)
    assert found.lines == 1000
    assert [(one.template, one.count) for one in found.templates] == [
        ("WebSocket connection timeout #<n>", 900),
        ("up", 100),
    ]


def test_a_pem_block_over_many_lines_is_masked_to_its_end_and_over_two_reads() -> None:
    key = ["-----BEGIN PRIVATE KEY-----", "abc", "def=", "-----END PRIVATE KEY-----"]
    shown, inside = safe_lines(["before", *key[:2]])
    assert shown == ["before", "[pem]", "[pem]"]
    assert safe_lines([*key[2:], "after"], inside=inside) == (["[pem]", "[pem]", "after"], 0)
    assert {one.template for one in summarise(["before", *key, "after"]).templates} == {
        "before",
        "[pem]",
        "after",
    }


def test_a_block_that_never_ends_hides_a_log_for_so_many_lines_only() -> None:
    shown, _inside = safe_lines(["-----BEGIN X-----"] + ["line"] * (MAX_PEM_LINES + 1))
    assert shown.count("line") == 1


def test_a_flood_of_different_shapes_is_bounded() -> None:
    words = [f"{'abcdefgh'[n % 8]}{'x' * (n % 400)} {'y' * (n // 400)}" for n in range(5000)]
    found = summarise(words, top=20)
    assert found.lines == 5000
    assert len(found.templates) == 20


def test_hostile_lines_cost_little() -> None:
    lines = [f"{letter}{' aB1:' * 399}" for letter in "abcdefghij" * 500]
    lines += [
        "Authorization:" + " " * 1990,
        "1" * 100_000,
        "a1" * 5000,
        "token=" + '"' * 1990,
        "\x1b[" * 1000,
    ]
    started = time.process_time()
    found = summarise(lines)
    assert time.process_time() - started < 1
    assert all(len(one.template) <= MAX_TEMPLATE for one in found.templates)


@given(st.text(max_size=300))
def test_a_safe_line_is_printable_and_storable(text: str) -> None:
    safe = safe_line(text)
    assert len(safe) <= MAX_LINE + 200
    assert "\x1b" not in safe
    assert "\x00" not in safe
    safe.encode()


@pytest.mark.parametrize(
    "line", ["authorization: Bearer abcdefghijkl", "token=abc", "app_key: 'abc'", "pwd=a&b=c"]
)
def test_masking_what_is_masked_changes_nothing(line: str) -> None:
    once = mask_secrets(line)
    assert once.count("]") == 1
    assert mask_secrets(once) == once
