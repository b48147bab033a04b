"""When rows are missing: where a gap begins, where it ends, and who gets to know its beginning."""

from __future__ import annotations

import pytest

from gateway.gaps import GRACE, MAX_TOPICS, Cause, Flow, GapWatch, Look
from gateway.status import Gap

TOPICS = ("0B:000660", "0B:005930")


def whole(at, *, row=None, topics=TOPICS, since=0.0):
    """Return a slot at which everything flows."""
    return Look(at=at, topics=topics, whole_since=since, last_row=row)


def broken(at, cause=Cause.DISCONNECTED, since=None):
    """Return a slot at which nothing flows."""
    return Look(at=at, topics=(), broken=cause, since=since)


def watch(*seen, flow=None):
    """Return a watch that saw these looks, and what it told."""
    found = GapWatch("key-1")
    if flow is not None:
        found.inherit(flow)
    return found, [gap for look in seen if (gap := found.look(look)) is not None]


def test_a_gap_lasts_from_the_last_proof_of_life_to_the_first_row():
    _, gaps = watch(whole(100.0, row=100.0), broken(110.0, since=97.0), whole(120.0, since=115.0, row=119.0))
    assert gaps == [Gap(slot="key-1", since=97.0, until=119.0, topics=TOPICS, count=2, reason="disconnected")]


def test_without_a_better_time_it_begins_with_the_last_look_at_which_all_was_well():
    _, gaps = watch(whole(100.0), whole(101.0), broken(103.0), whole(120.0, since=115.0, row=119.0))
    assert gaps[0].since == 101.0


def test_rows_before_everything_is_registered_again_do_not_end_it():
    partly = Look(at=112.0, topics=(TOPICS[0],), whole_since=None, last_row=112.0)
    found, gaps = watch(whole(100.0), broken(110.0), partly, whole(113.0, since=112.5, row=112.0))
    assert (found.open, gaps) == (True, [])


@pytest.mark.parametrize(("later", "told"), [(GRACE - 0.1, False), (GRACE, True)])
def test_a_market_without_rows_ends_it_with_the_answer_to_the_registration(later, told):
    _, gaps = watch(whole(100.0), broken(110.0), whole(115.0 + later, since=115.0, row=90.0))
    assert [gap.until for gap in gaps] == ([115.0] if told else [])


def test_several_causes_in_a_row_are_one_gap_with_the_first_cause():
    _, gaps = watch(
        whole(100.0), broken(105.0, Cause.REDIS), broken(106.0), whole(120.0, since=115.0, row=119.0)
    )
    assert [(gap.since, gap.reason) for gap in gaps] == [(100.0, "redis")]


def test_before_rows_ever_flowed_there_is_nothing_to_miss():
    found, gaps = watch(broken(1.0), broken(2.0), whole(3.0, topics=()), broken(4.0))
    assert (found.open, found.flow, gaps) == (False, None, [])


def test_topics_that_nobody_wants_any_more_are_not_missed():
    _, gaps = watch(whole(100.0), broken(110.0), whole(120.0, since=115.0, row=119.0, topics=(TOPICS[1],)))
    assert gaps[0].topics == (TOPICS[1],)
    found, gaps = watch(whole(100.0), broken(110.0), whole(120.0, since=115.0, row=119.0, topics=("0B:1",)))
    assert (found.open, gaps) == (False, [])


def test_a_new_owner_knows_from_the_old_one_when_rows_stopped():
    old, _ = watch(whole(100.0), whole(101.0))
    assert old.flow is not None
    left = Flow.decode(old.flow.encode())
    _, gaps = watch(broken(117.0), whole(120.0, since=118.0, row=119.0), flow=left)
    assert [(gap.since, gap.until, gap.reason) for gap in gaps] == [(101.0, 119.0, "owner")]


def test_a_gap_that_the_old_owner_had_open_keeps_its_beginning_and_cause():
    old, _ = watch(whole(100.0), broken(105.0, Cause.STALE, since=60.0))
    assert old.flow is not None
    _, gaps = watch(whole(120.0, since=118.0, row=119.0), flow=Flow.decode(old.flow.encode()))
    assert [(gap.since, gap.reason) for gap in gaps] == [(60.0, "stale")]


def test_names_are_bounded_and_the_number_is_of_all():
    many = tuple(f"0B:{number:06}" for number in range(MAX_TOPICS + 5))
    found, gaps = watch(
        whole(100.0, topics=many), broken(110.0), whole(120.0, since=115.0, row=119.0, topics=many)
    )
    assert (len(gaps[0].topics), gaps[0].count) == (MAX_TOPICS, MAX_TOPICS + 5)
    assert found.flow is not None
    assert len(found.flow.topics) == MAX_TOPICS


def test_a_gap_travels_as_json_and_foreign_json_is_refused():
    gap = Gap(slot="key-1", since=1.5, until=2.5, topics=TOPICS, count=2, reason="stale")
    assert Gap.decode(gap.encode()) == gap
    for raw in (b"", b"[]", b"{}", b'{"topics":3}'):
        with pytest.raises(ValueError, match=r".+"):
            Gap.decode(raw)
        with pytest.raises(ValueError, match=r".+"):
            Flow.decode(raw)
