import pytest

from bench import payload
from gateway.protocol import Real, decode


@pytest.mark.parametrize("symbol", payload.SYMBOLS)
def test_every_row_is_a_kiwoom_row_of_the_stated_length(symbol):
    row = payload.row(symbol)

    assert len(row) == payload.ROW_BYTES
    frame = decode(b'{"trnm":"REAL","data":[' + row + b"]}")
    assert isinstance(frame, Real)
    assert [(item.topic, item.encoded) for item in frame.rows] == [(f"0B:{symbol}", row)]


def test_the_generator_finds_one_place_to_stamp_in_a_row():
    assert payload.row("005930").count(b',"13":"000000000000","14":"0000000000000000"') == 1


def test_as_many_topics_as_asked_for():
    assert list(payload.rows(3)) == ["0B:005930", "0B:000660", "0B:373220"]
