"""Registrations by group, with the limit of unique items and a key's rights."""

from __future__ import annotations

import pytest

from gateway.feed_frames import PAIRS_MAX, BadFrame, Code, Registration
from gateway.feed_registrations import GROUPS_MAX, Registrations, Rights


def reg(*pairs, group="1", replace=False):
    return Registration("REG", group, replace, pairs)


def remove(*pairs, group="1"):
    return Registration("REMOVE", group, False, pairs or None)


def items(count, start=0):
    return [("0B", f"{number:06}") for number in range(start, start + count)]


def test_registering_again_keeps_what_was_there():
    mine = Registrations(Rights())
    mine.apply(reg(("0B", "005930")))
    mine.apply(reg(("0D", "005930")))
    assert mine.topics == {"0B:005930", "0D:005930"}


def test_refresh_zero_replaces_only_its_group():
    mine = Registrations(Rights())
    mine.apply(reg(("0B", "005930"), group="1"))
    mine.apply(reg(("0B", "000660"), group="2"))
    mine.apply(reg(("0B", "035420"), group="1", replace=True))
    assert mine.topics == {"0B:000660", "0B:035420"}


def test_market_wide_types_share_one_topic_whatever_items_they_were_asked_for_with():
    mine = Registrations(Rights())
    mine.apply(reg(("1h", "005930"), ("1h", "000660"), ("0B", "005930")))
    assert mine.topics == {"1h:", "0B:005930"}
    mine.apply(remove(("1h", "005930")))
    assert "1h:" in mine.topics
    mine.apply(remove(("1h", "000660")))
    assert mine.topics == {"0B:005930"}


def test_remove_takes_pairs_or_the_whole_group_and_ignores_what_was_never_there():
    mine = Registrations(Rights())
    mine.apply(reg(("0B", "005930"), ("0B", "000660")))
    mine.apply(remove(("0B", "005930"), ("0B", "999999")))
    assert mine.topics == {"0B:000660"}
    mine.apply(remove())
    assert mine.topics == frozenset()


def test_the_same_topic_in_two_groups_stays_until_both_are_gone():
    mine = Registrations(Rights())
    mine.apply(reg(("0B", "005930"), group="1"))
    mine.apply(reg(("0B", "005930"), group="2"))
    mine.apply(remove(("0B", "005930"), group="1"))
    assert mine.topics == {"0B:005930"}


def test_two_hundred_unique_items_fit_whatever_the_types_and_one_more_is_105115():
    mine = Registrations(Rights(max_items=200))
    mine.apply(reg(*items(200)))
    mine.apply(reg(*[("0D", item) for _, item in items(200)]))
    mine.apply(reg(("0s", "")))
    before = mine.topics
    with pytest.raises(BadFrame) as caught:
        mine.apply(reg(*items(1, start=200), group="2"))
    assert caught.value.code is Code.TOO_MANY_ITEMS
    assert mine.topics == before


def test_each_item_may_have_a_group_of_its_own_and_groups_are_bounded():
    mine = Registrations(Rights())
    for number in range(GROUPS_MAX):
        mine.apply(reg(("0B", f"{number % 200:06}"), group=f"{number:04x}"))
    with pytest.raises(BadFrame) as refused:
        mine.apply(reg(("0B", "000001"), group="more"))
    assert refused.value.code == Code.TOO_MANY_ITEMS
    mine.apply(reg(("0D", "000001"), group="0000"))
    mine.apply(remove(group="0001"))
    mine.apply(reg(("0B", "000001"), group="more"))


def test_the_pairs_of_all_groups_are_bounded():
    mine = Registrations(Rights())
    pairs = [(kind, item) for kind in ("0B", "0C", "0D", "0E", "0F") for _, item in items(200)]
    for number in range(PAIRS_MAX // len(pairs)):
        mine.apply(reg(*pairs, group=f"{number:04x}"))
    with pytest.raises(BadFrame) as refused:
        mine.apply(reg(("0B", "000001"), group="more"))
    assert refused.value.code == Code.TOO_MANY_ITEMS


def test_a_refused_frame_changes_nothing():
    mine = Registrations(Rights())
    mine.apply(reg(("0B", "005930")))
    with pytest.raises(BadFrame):
        mine.apply(reg(("0B", "000660"), ("00", ""), replace=True))
    assert mine.topics == {"0B:005930"}


def test_a_key_with_rights_registers_only_its_types_and_items():
    mine = Registrations(Rights(types=frozenset({"0B", "0s"}), items=frozenset({"005930"})))
    mine.apply(reg(("0B", "005930"), ("0s", "")))
    for pair in (("0D", "005930"), ("0B", "000660")):
        with pytest.raises(BadFrame) as caught:
            mine.apply(reg(pair))
        assert caught.value.code is Code.NOT_ALLOWED


def test_changed_rights_end_what_they_no_longer_allow_and_keep_the_rest():
    mine = Registrations(Rights())
    mine.apply(reg(("0B", "005930"), ("0D", "005930"), ("0s", ""), group="1"))
    mine.apply(reg(("0B", "000660"), group="2"))
    gone = mine.restrict(Rights(types=frozenset({"0B", "0s"}), items=frozenset({"005930"})))
    assert gone == {"0D:005930", "0B:000660"}
    assert mine.topics == {"0B:005930", "0s:"}
    with pytest.raises(BadFrame):
        mine.apply(reg(("0B", "000660")))


def test_a_lower_limit_of_items_keeps_the_lowest_codes():
    mine = Registrations(Rights())
    mine.apply(reg(*items(10)))
    mine.apply(reg(("0D", "000009"), ("0s", ""), group="2"))
    gone = mine.restrict(Rights(max_items=9))
    assert gone == {"0B:000009", "0D:000009"}
    assert "0s:" in mine.topics
    assert mine.restrict(Rights(max_items=9)) == frozenset()
