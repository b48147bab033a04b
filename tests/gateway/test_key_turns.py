"""Which keys a round of checks takes: none is left out for good, however many are connected."""

from __future__ import annotations

from gateway.feed_service import in_turn


def test_with_room_for_all_every_round_takes_all() -> None:
    assert sorted(in_turn({3, 1, 2}, 2, 10)) == [1, 2, 3]
    assert in_turn(set(), 2, 10) == []


def test_with_more_than_there_is_room_for_each_has_its_turn() -> None:
    connected = set(range(1, 2501))
    last, seen = 0, []
    for _ in range(3):
        taken = in_turn(connected, last, 1000)
        assert len(taken) == len(set(taken)) == 1000
        last = taken[-1]
        seen += taken
    assert set(seen) == connected


def test_a_key_that_left_does_not_hold_the_others_up() -> None:
    assert in_turn({1, 5, 9}, 6, 2) == [9, 1]
