"""Frames of ``/ws``: what comes in is checked, what goes out is ASCII and short enough."""

from __future__ import annotations

import json

import pytest

from gateway.feed_frames import (
    BadFrame,
    Close,
    Code,
    System,
    Verdict,
    check_pair,
    count_rows,
    last_row,
    parse,
    parse_registration,
    real,
    reply,
    split_rows,
    system,
)


@pytest.mark.parametrize(
    "text", ["", "nonsense", "{", "[]", "1", "null", '"REG"', '{"a":1}', '{"trnm":7}', '{"trnm":""}']
)
def test_what_is_not_an_object_with_a_trnm_is_answered_with_100002(text):
    with pytest.raises(BadFrame) as caught:
        parse(text)
    answer = json.loads(caught.value.reply)
    assert answer["return_code"] == 100002
    assert isinstance(answer["return_code"], int)
    assert answer["return_msg"]


def test_deep_nesting_is_an_error_and_not_a_crash():
    with pytest.raises(BadFrame):
        parse('{"trnm":"REG","data":' + "[" * 5000 + "]" * 5000 + "}")


@pytest.mark.parametrize(
    ("item", "kind", "pairs"),
    [
        (
            ["005930", "000660"],
            ["0B", "0D"],
            {("0B", "005930"), ("0B", "000660"), ("0D", "005930"), ("0D", "000660")},
        ),
        ("005930", "0B", {("0B", "005930")}),
        ([], ["0s"], {("0s", "")}),
        ([""], ["0s"], {("0s", "")}),
        ("", "1h", {("1h", "")}),
        ([5930], ["0B"], {("0B", "5930")}),
    ],
)
def test_item_and_type_may_be_lists_or_strings_and_item_may_be_empty(item, kind, pairs):
    request = parse_registration("REG", {"grp_no": 1, "data": [{"item": item, "type": kind}]})
    assert set(request.pairs or ()) == pairs
    assert request.group == "1"
    assert not request.replace


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "data"),
        ({"data": {}}, "data"),
        ({"data": [{"type": ["0B"]}]}, "data.0.item"),
        ({"data": [{" item": ["005930"], " type": ["0B"]}]}, "data.0.item"),
        ({"data": [{"item": [None], "type": ["0B"]}]}, "data.0.item"),
        ({"data": [{"item": ["005930"], "type": ["0B"]}], "refresh": "2"}, "refresh"),
        ({"data": [{"item": ["005930"], "type": ["0B"]}], "grp_no": "12345"}, "grp_no"),
    ],
)
def test_a_wrong_registration_names_its_field(body, field):
    with pytest.raises(BadFrame, match=field):
        parse_registration("REG", body)


def test_remove_without_data_means_the_whole_group():
    assert parse_registration("REMOVE", {"grp_no": "2"}).pairs is None


@pytest.mark.parametrize(
    ("kind", "item", "code"),
    [
        ("00", "", Code.NOT_ALLOWED),
        ("04", "005930", Code.NOT_ALLOWED),
        ("9Z", "005930", Code.BAD_FIELD),
        ("0B", "", Code.BAD_FIELD),
        ("0B", "00593\n", Code.BAD_FIELD),
        ("0B", "삼성전자", Code.BAD_FIELD),
        ("0B", "x" * 21, Code.BAD_FIELD),
    ],
)
def test_pairs_that_nobody_may_register_are_refused(kind, item, code):
    with pytest.raises(BadFrame) as caught:
        check_pair("REG", kind, item)
    assert caught.value.code is code


@pytest.mark.parametrize("item", ["005930", "005930_NX", "005930_AL", "MGD", "57ABCD"])
def test_item_codes_of_every_venue_pass(item):
    check_pair("REG", "0B", item)


def test_replies_have_no_data_and_repeat_only_the_start_of_an_unknown_trnm():
    answer = json.loads(reply("X" * 500, Code.UNKNOWN_TRNM, "?"))
    assert set(answer) == {"trnm", "return_code", "return_msg"}
    assert len(answer["trnm"]) == 20


def test_korean_is_escaped_so_that_frames_are_ascii():
    assert reply("REG", Code.BAD_FIELD, "없음").isascii()


def test_system_frames_leave_out_what_is_not_known():
    frame = json.loads(system(System.LIVE, "live", as_of=None, retry_in_s=3))
    assert frame == {"trnm": "SYSTEM", "code": "B1001", "message": "live", "retry_in_s": 3}


def test_a_close_reason_fits_a_close_frame_and_says_when_to_come_back():
    verdict = Verdict(Close.TRY_LATER, "x" * 500, 7.25)
    assert len(verdict.reason.encode()) <= 123
    assert json.loads(verdict.reason)["retry_after"] == 7.2
    assert "retry_after" not in json.loads(Verdict(Close.BAD_KEY, "no").reason)


def test_rows_are_joined_into_one_frame_and_the_newest_is_found_again():
    first = b'{"values":{"10":"-1","302":"a\\",{\\"values\\":"},"type":"0B","name":"n","item":"005930"}'
    second = first.replace(b'"-1"', b'"-2"')
    joined = first + b"," + second
    assert count_rows(first) == 1
    assert count_rows(joined) == 2
    assert last_row(joined) == second
    assert last_row(first) == first
    frame = json.loads(real([joined, first]).payload)
    assert [row["values"]["10"] for row in frame["data"]] == ["-1", "-2", "-1"]
    assert frame["trnm"] == "REAL"


@pytest.mark.parametrize("size", [1, 80, 200, 1000, 100_000])
def test_many_rows_are_cut_between_rows_and_none_is_lost(size):
    rows = b",".join(b'{"values":{"10":"%d"},"type":"0B","name":"n","item":"005930"}' % n for n in range(50))
    parts = list(split_rows(rows, size))
    assert b",".join(parts) == rows
    assert all(len(part) <= size or count_rows(part) == 1 for part in parts)
    for part in parts:
        json.loads(b"[" + part + b"]")
