"""The Engine's log stream, without an Engine."""

from __future__ import annotations

from portal.monitoring.runtimes.docker_logs import Cursor, payload, window


def frame(line: str, stream: int = 1) -> bytes:
    """One multiplexed frame."""
    data = f"{line}\n".encode()
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


def stamped(second: float, text: str) -> str:
    return f"2026-02-06T00:00:{second:012.9f}Z {text}"


def test_frames_are_joined_wherever_the_pieces_are_cut() -> None:
    raw = frame("one") + frame("two", 2)
    for size in (1, 3, 7, len(raw)):
        pieces = [raw[start : start + size] for start in range(0, len(raw), size)]
        assert payload(pieces) == (b"one\ntwo\n", False)


def test_a_terminals_stream_has_no_frames() -> None:
    assert payload([b"2026-02-06T00:00:00Z hi\n"]) == (b"2026-02-06T00:00:00Z hi\n", False)


def test_reading_stops_at_the_limit_and_takes_no_further_piece() -> None:
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield frame("x" * 1000)

    raw, capped = payload(endless(), limit=10_000)
    assert capped
    assert len(raw) <= 11_000
    assert len(taken) < 12


def test_a_window_ends_where_the_next_begins() -> None:
    first = window(
        "\n".join(stamped(n, f"line {n}") for n in range(3)).encode(),
        False,
        cursor=Cursor(),
        limit=100,
        now=10.0,
    )
    assert list(first.lines) == ["line 0", "line 1", "line 2"]
    again = "\n".join(stamped(n, f"line {n}") for n in range(2, 5)).encode()
    second = window(again, False, cursor=Cursor.decode(first.cursor), limit=100, now=15.0)
    assert list(second.lines) == ["line 3", "line 4"]
    assert second.span_s == 5.0
    assert not second.capped


def test_a_full_window_is_capped_and_its_span_is_what_its_lines_cover() -> None:
    raw = "\n".join(stamped(n / 100, "flood") for n in range(100)).encode()
    found = window(raw, False, cursor=Cursor("", 1.0, 0), limit=100, now=6.0)
    assert found.capped
    assert found.span_s == 0.99


def test_broken_bytes_and_cursors_do_no_harm() -> None:
    found = window(
        b"2026-02-06T00:00:00.000000001Z \xff\xfe\nnonsense", False, cursor=Cursor.decode("x"), limit=9, now=1
    )
    assert found.lines[0] == "\ufffd\ufffd"
