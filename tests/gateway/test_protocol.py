"""Kiwoom's frames and token replies as values: well-formed, odd, and hostile ones."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol import (
    EXCERPT,
    MAX_ROWS,
    Ack,
    Direction,
    LoginReply,
    Other,
    Ping,
    ProtocolError,
    Real,
    Refusal,
    System,
    Token,
    Verdict,
    classify,
    decode,
    embedded_code,
    encode_row,
    login,
    read_token,
    register,
    split_topic,
    topic_of,
)

ROW = {"values": {"10": "-61100"}, "type": "0B", "name": "주식체결", "item": "005930"}


def real(*rows):
    """Return a REAL frame."""
    return json.dumps({"data": list(rows), "trnm": "REAL"}, ensure_ascii=False)


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        ('{"trnm":"LOGIN","return_code":0,"return_msg":"","sor_yn":"Y"}', LoginReply(0, "")),
        ('{"trnm":"LOGIN","return_code":"805004","return_msg":"no"}', LoginReply(805004, "no")),
        ('{"trnm":"REG","return_code":0,"return_msg":""}', Ack(Direction.REG, 0, "")),
        ('{"trnm":"REMOVE","return_code":" -1 "}', Ack(Direction.REMOVE, -1, "")),
        ('{"trnm":"PING"}', Ping('{"trnm":"PING"}')),
        ('{"trnm": "PING", "x": 1}', Ping('{"trnm": "PING", "x": 1}')),
        (
            '{"trnm":"SYSTEM","code":"R10001","message":"동일한 App key"}',
            System("R10001", "동일한 App key"),
        ),
        ('{"trnm":"SYSTEM"}', System("", "")),
        ('{"trnm":"CNSRLST","data":[]}', Other("CNSRLST")),
    ],
)
def test_frames(text, frame):
    assert decode(text) == frame
    assert decode(text.encode()) == frame


def test_long_messages_are_cut():
    long = json.dumps("x" * 10_000)
    for frame in (
        decode('{"trnm":"REG","return_code":1,"return_msg":' + long + "}"),
        decode('{"trnm":"SYSTEM","code":"R1","message":' + long + "}"),
    ):
        assert isinstance(frame, Ack | System)
        assert frame.message == "x" * EXCERPT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[1,2]",
        "{}",
        '{"trnm":7}',
        '{"trnm":',
        "<html>점검 중</html>",
        '{"trnm":"LOGIN"}',
        '{"trnm":"LOGIN","return_code":null}',
        '{"trnm":"LOGIN","return_code":true}',
        '{"trnm":"REG","return_code":0.0}',
        '{"trnm":"REG","return_code":"--1"}',
        '{"trnm":"REG","return_code":"' + "9" * 5000 + '"}',
        '{"trnm":"REMOVE","return_code":"zero"}',
        "[" * 5000,
        b"\xff\xfe",
    ],
    ids=lambda text: ascii(text)[:30],
)
def test_what_is_not_kiwooms_is_one_kind_of_error_with_a_short_text(text):
    with pytest.raises(ProtocolError) as caught:
        decode(text)
    assert len(str(caught.value)) < 2 * EXCERPT


@given(
    st.text() | st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps)
)
def test_any_text_is_a_frame_or_that_error(text):
    with suppress(ProtocolError):
        decode(text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(["data", "return_code", "return_msg", "code", "message"])


@given(
    st.sampled_from(["LOGIN", "REG", "REMOVE", "REAL", "PING", "SYSTEM", "?"]),
    st.dictionaries(NAMES, VALUES, max_size=3),
)
def test_any_fields_of_a_known_frame_are_a_frame_or_that_error(trnm, fields):
    try:
        frame = decode(json.dumps({"trnm": trnm} | fields))
    except ProtocolError:
        return
    for row in frame.rows if isinstance(frame, Real) else ():
        assert all(isinstance(value, str) for value in json.loads(row.encoded)["values"].values())


def test_a_row_is_ascii_without_blanks_and_means_the_same():
    frame = decode(real(ROW))
    assert isinstance(frame, Real)
    (row,) = frame.rows
    assert row.topic == "0B:005930"
    assert row.encoded.isascii()
    assert b" " not in row.encoded
    assert json.loads(row.encoded) == ROW
    assert list(json.loads(row.encoded)) == ["values", "type", "name", "item"]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (ROW | {"values": {"10": 5, "11": None, "12": 1.5}}, {"10": "5", "11": "", "12": "1.5"}),
        (ROW | {"values": {}}, {}),
        ({"values": {"20": "1"}, "type": "0s"}, {"20": "1"}),
    ],
)
def test_values_are_strings_whatever_came(entry, expected):
    frame = decode(real(entry))
    assert isinstance(frame, Real)
    assert json.loads(frame.rows[0].encoded)["values"] == expected


@pytest.mark.parametrize(
    "entry",
    [7, None, [], {}, ROW | {"type": ""}, ROW | {"type": 5}, ROW | {"item": None}, ROW | {"values": [1]}],
)
def test_an_entry_that_is_no_row_is_counted_and_costs_no_other(entry):
    frame = decode(real(ROW, entry, ROW))
    assert isinstance(frame, Real)
    assert (len(frame.rows), frame.malformed) == (2, 1)


@pytest.mark.parametrize("data", ['"x"', "7", "null", "{}"])
def test_a_frame_whose_data_is_no_list_has_no_rows(data):
    assert decode('{"trnm":"REAL","data":' + data + "}") == Real((), 1)


def test_rows_of_one_frame_are_bounded():
    frame = decode(real(*[ROW] * (MAX_ROWS + 5)))
    assert isinstance(frame, Real)
    assert (len(frame.rows), frame.malformed) == (MAX_ROWS, 5)


@pytest.mark.parametrize(
    ("kind", "item", "topic"),
    [
        ("0B", "005930", "0B:005930"),
        ("0B", "005930_NX", "0B:005930_NX"),
        ("0s", "", "0s:"),
        ("1h", "005930", "1h:"),  # registered without an item, its rows carry one
        ("00", "A005930", "00:"),
    ],
)
def test_rows_are_shared_under_the_topic_they_were_registered_as(kind, item, topic):
    assert topic_of(kind, item) == topic
    assert split_topic(topic) == (kind, topic.partition(":")[2])


@pytest.mark.parametrize("topic", ["", "005930", ":005930"])
def test_a_topic_needs_a_type(topic):
    with pytest.raises(ProtocolError):
        split_topic(topic)


def test_frames_of_ours_are_kiwooms():
    assert json.loads(login("abc")) == {"trnm": "LOGIN", "token": "abc"}
    data = [{"item": ["005930", "000660"], "type": ["0B", "0D"]}]
    assert json.loads(register(Direction.REG, ["005930", "000660"], ("0B", "0D"))) == {
        "trnm": "REG",
        "grp_no": "1",
        "refresh": "1",
        "data": data,
    }
    assert json.loads(register(Direction.REMOVE, [""], ["0s"])) == {
        "trnm": "REMOVE",
        "grp_no": "1",
        "data": [{"item": [""], "type": ["0s"]}],
    }


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("인증에 실패했습니다[8005:Token이 유효하지 않습니다]", 8005),
        ("인증에 실패했습니다[CODE=8050, MESSAGE=no]", 8050),
        ("한도 초과[1700]", 1700),
        ("no code", 0),
        ("[12:too short]", 0),
        ("", 0),
    ],
)
def test_the_code_inside_a_message(message, code):
    assert embedded_code(message) == code


@pytest.mark.parametrize(
    ("code", "message", "verdict"),
    [
        (0, "[8050:ignored when the code says success]", Verdict.OK),
        (3, "[8005:…]", Verdict.RENEW_TOKEN),
        (805004, "[CODE=8005, MESSAGE=…]", Verdict.RENEW_TOKEN),
        (805004, "[CODE=8031, MESSAGE=…]", Verdict.FATAL),
        (805004, "", Verdict.RETRY),
        (805002, "", Verdict.FATAL),
        (3, "[8050:…]", Verdict.FATAL),
        (3, "[8030:…]", Verdict.FATAL),
        (8001, "", Verdict.FATAL),
        (8010, "", Verdict.RENEW_TOKEN),
        (8103, "", Verdict.RENEW_TOKEN),
        (5, "[1700:…]", Verdict.SLOW_DOWN),
        (105110, "", Verdict.SLOW_DOWN),
        (105115, "", Verdict.LOWER_CAP),
        (105118, "", Verdict.LOWER_CAP),
        (8001, "[8005:the code inside is the more specific one]", Verdict.RENEW_TOKEN),
        (100013, "", Verdict.RETRY),
        (1999, "", Verdict.RETRY),
    ],
)
def test_what_a_code_asks_for(code, message, verdict):
    assert classify(code, message) is verdict


def token_reply(**fields):
    """Return a token reply's body."""
    body = {"expires_dt": "20261125093000", "token": "abc", "return_code": 0, "return_msg": ""}
    return json.dumps(body | fields).encode()


def test_a_token_expires_by_seouls_clock_and_hides_its_value():
    token = read_token(200, token_reply())
    assert isinstance(token, Token)
    assert token.expires_at == datetime(2026, 11, 25, 0, 30, tzinfo=UTC)
    assert token.value == "abc"
    assert "abc" not in repr(token)


@pytest.mark.parametrize(
    ("status", "body", "verdict", "reason"),
    [
        (429, b"", Verdict.SLOW_DOWN, "429"),
        (429, b'{"return_code":5,"return_msg":"[1700:x]"}', Verdict.SLOW_DOWN, "429"),
        (200, token_reply(return_code=3, return_msg="[8050:주소]"), Verdict.FATAL, "8050"),
        (200, token_reply(return_code="3", return_msg="[8001:키]"), Verdict.FATAL, "8001"),
        (200, token_reply(return_code=5, return_msg="[1700:한도]"), Verdict.SLOW_DOWN, "1700"),
        (302, b"", Verdict.RETRY, "HTTP 302"),
        (200, "<html>점검</html>".encode(), Verdict.RETRY, "maintenance"),
        (200, b"[]", Verdict.RETRY, "HTTP 200"),
        (500, b"{}", Verdict.RETRY, "HTTP 500"),
        (200, token_reply(token=""), Verdict.RETRY, "without token"),
        (200, token_reply(token=7), Verdict.RETRY, "without token"),
        (200, token_reply(expires_dt=None), Verdict.RETRY, "without token"),
        (200, token_reply(expires_dt="tomorrow"), Verdict.RETRY, "expires_dt"),
        (200, token_reply(expires_dt="20261325093000"), Verdict.RETRY, "expires_dt"),
    ],
)
def test_a_refused_token_says_what_to_do(status, body, verdict, reason):
    refused = read_token(status, body)
    assert isinstance(refused, Refusal)
    assert refused.verdict is verdict
    assert reason in refused.reason


EXAMPLES = json.loads((Path(__file__).parent.parent.parent / "gateway/simulator/templates.json").read_text())


def test_rows_of_every_type_that_the_simulator_knows_are_read_back_unchanged():
    assert len(EXAMPLES) >= 10
    for kind, example in EXAMPLES.items():
        encoded = encode_row(example["values"], kind, example.get("name", ""), "005930")
        frame = decode(b'{"data":[' + encoded + b'],"trnm":"REAL"}')
        assert isinstance(frame, Real)
        assert [row.encoded for row in frame.rows] == [encoded]
