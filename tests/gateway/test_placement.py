"""Which item goes to which key, over the keys of all processes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.placement import MAX_HOMELESS, Placement, Seat, place

KEYS = ("key-1", "key-2", "key-3")


def seats(*slots, capacity=200):
    """Return working slots of one capacity."""
    return {slot: Seat(capacity) for slot in slots or KEYS}


def test_new_items_go_to_the_emptiest_key():
    placed = place("1234", seats(), Placement())
    assert placed.items == {"key-1": ("1", "4"), "key-2": ("2",), "key-3": ("3",)}


def test_an_item_stays_where_it_was():
    before = Placement({"key-3": ("1", "2")})
    assert place("123", seats(), before).items == {"key-1": ("3",), "key-2": (), "key-3": ("1", "2")}


def test_items_of_a_key_without_an_owner_move_to_the_others():
    before = Placement({"key-1": ("1",), "key-2": (), "key-3": ("2", "3", "4")})
    assert place("1234", seats("key-1", "key-2"), before).items == {"key-1": ("1", "3"), "key-2": ("2", "4")}


def test_what_a_lowered_capacity_no_longer_holds_moves_and_what_was_first_stays():
    before = Placement({"key-1": ("1", "2", "3"), "key-2": ()})
    placed = place("123", {"key-1": Seat(1), "key-2": Seat(200)}, before)
    assert placed.items == {"key-1": ("1",), "key-2": ("2", "3")}


def test_items_leave_a_key_that_does_not_work_as_far_as_others_have_places():
    before = Placement({"key-1": ("1", "2", "3"), "key-2": ()})
    placed = place("123", {"key-1": Seat(200, works=False), "key-2": Seat(2)}, before)
    assert placed == Placement({"key-1": ("3",), "key-2": ("1", "2")})


def test_while_no_key_works_nothing_moves():
    before = Placement({"key-1": ("1",), "key-2": ("2",)})
    broken = {slot: Seat(200, works=False) for slot in ("key-1", "key-2")}
    assert place("123", broken, before).items == {"key-1": ("1", "3"), "key-2": ("2",)}


def test_what_fits_nowhere_is_named():
    placed = place("12345678", seats(capacity=2), Placement())
    assert [len(placed.items[slot]) for slot in KEYS] == [2, 2, 2]
    assert placed.homeless == ("7", "8")


def test_what_nobody_wants_any_more_gives_its_place_free():
    full = place("12", seats("key-1", capacity=2), Placement())
    assert place("23", seats("key-1", capacity=2), full).items == {"key-1": ("2", "3")}


def test_without_a_key_nothing_has_a_place():
    assert place("12", {}, Placement({"key-1": ("1",)})) == Placement({}, ("1", "2"))


def test_the_items_of_others_are_known():
    placed = Placement({"key-1": ("1",), "key-2": ("2",), "key-3": ("3",)})
    assert placed.elsewhere("key-2") == {"1", "3"}


def test_it_travels_as_json_and_foreign_json_is_refused():
    placed = Placement({"key-1": ("1", ""), "key-2": ()}, ("9",))
    assert Placement.decode(placed.encode()) == placed
    for raw in (b"", b"[]", b'{"items":[]}', b'{"items":{"key-1":3},"homeless":[]}'):
        with pytest.raises(ValueError, match=r".+"):
            Placement.decode(raw)


def test_the_homeless_that_are_told_are_bounded():
    placed = place(map(str, range(MAX_HOMELESS + 500)), seats("key-1", capacity=10), Placement())
    assert len(placed.homeless) == MAX_HOMELESS


ITEMS = st.lists(st.sampled_from("abcdefghij"), unique=True)
SEATS = st.dictionaries(st.sampled_from(KEYS), st.builds(Seat, st.integers(0, 5), st.booleans()))


@given(st.lists(st.tuples(ITEMS, SEATS), min_size=1, max_size=6))
def test_whatever_happens_each_item_has_one_place_and_no_key_too_many(steps):
    placement = Placement()
    for items, slots in steps:
        before, placement = placement, place(items, slots, placement)
        everywhere = [item for slot in placement.items.values() for item in slot]
        assert sorted([*everywhere, *placement.homeless]) == sorted(items)
        assert all(len(placement.items[slot]) <= seat.capacity for slot, seat in slots.items())
        if placement.homeless:
            assert all(len(placement.items[slot]) == seat.capacity for slot, seat in slots.items())
        for slot, seat in slots.items():
            stayed = [item for item in before.items.get(slot, ()) if item in items][: seat.capacity]
            if seat.works:
                assert list(placement.items[slot][: len(stayed)]) == stayed
