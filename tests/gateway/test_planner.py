"""Which frames go out for what is wanted: batches, pace, caps, refusals, lingering, and places on keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.planner import MAX_GAP, REFUSED_PAUSE, SLOW_PAUSE, Batch, Planner
from gateway.protocol import Direction, Verdict, split_topic

REG, REMOVE = Direction.REG, Direction.REMOVE


def planner(cap=200, size=100, rate=4.0, linger=60.0):
    """Return a planner with the numbers of production unless told otherwise."""
    return Planner(cap=cap, size=size, rate=rate, linger=linger)


def topics(count, kind="0B", start=0):
    """Return ``count`` topics of one type."""
    return [f"{kind}:{number:06}" for number in range(start, start + count)]


def run(plan, now, until):
    """Return the frames sent until a time, each acknowledged at once, with their times."""
    sent = []
    while (due := plan.due(now)) is not None and due <= until:
        now = max(now, due)
        batch = plan.next(now)
        if batch is not None:
            sent.append((now, batch))
            plan.acknowledged(batch)
    return sent


def settled(plan, wanted, now=0.0):
    """Want topics, register them all, and return the planner."""
    plan.want(wanted, now)
    run(plan, now, now + 30.0)
    return plan


def test_one_frame_holds_a_hundred_items():
    plan = planner()
    plan.want(topics(150), 0.0)
    sent = run(plan, 0.0, 10.0)
    assert [len(batch.items) for _, batch in sent] == [100, 50]
    assert all(batch.direction is REG and batch.types == ("0B",) for _, batch in sent)
    assert plan.registered == set(topics(150))
    assert plan.due(10.0) is None


def test_items_that_want_the_same_types_share_a_frame_and_others_do_not():
    plan = planner()
    plan.want(["0B:1", "0D:1", "0B:2", "0D:2", "0B:3", "0s:"], 0.0)
    batches = [batch for _, batch in run(plan, 0.0, 10.0)]
    assert batches == [
        Batch(REG, ("1", "2"), ("0B", "0D")),
        Batch(REG, ("3",), ("0B",)),
        Batch(REG, ("",), ("0s",)),
    ]
    assert plan.registered == {topic for batch in batches for topic in batch.topics}


def test_no_second_holds_more_than_four_frames():
    plan = planner(cap=1000, size=10)
    plan.want(topics(200), 0.0)
    times = [at for at, _ in run(plan, 0.0, 60.0)]
    assert len(times) == 20
    assert all(fifth - first >= 1.0 for first, fifth in zip(times, times[4:], strict=False))


def test_a_frame_under_way_is_not_sent_twice():
    plan = planner()
    plan.want(topics(3), 0.0)
    assert plan.next(0.0) is not None
    assert plan.next(100.0) is None
    assert plan.registered == set()


def test_what_has_no_place_is_named_and_gets_the_first_place_that_is_free():
    plan = settled(planner(cap=2), topics(3))
    assert plan.registered == set(topics(2))
    assert plan.unplaced == (topics(3)[2],)
    plan.want(topics(3)[1:], 100.0)  # what nobody wants goes at once when there is no room
    sent = run(plan, 100.0, 102.0)
    assert [(batch.direction, batch.items) for _, batch in sent] == [
        (REMOVE, ("000000",)),
        (REG, ("000002",)),
    ]
    assert plan.unplaced == ()


def test_a_second_type_of_an_item_takes_no_further_place():
    plan = settled(planner(cap=1), ["0B:1", "0D:1", "0B:2"])
    assert plan.registered == {"0B:1", "0D:1"}
    assert plan.unplaced == ("0B:2",)


def test_what_nobody_wants_stays_a_minute():
    plan = settled(planner(), topics(2))
    plan.want(topics(1), 100.0)
    assert run(plan, 100.0, 159.9) == []
    ((at, batch),) = run(plan, 159.9, 200.0)
    assert (at, batch) == (160.0, Batch(REMOVE, ("000001",), ("0B",)))
    assert plan.registered == set(topics(1))


def test_what_is_wanted_again_within_the_minute_is_left_alone():
    plan = settled(planner(), topics(2))
    plan.want(topics(1), 100.0)
    plan.want(topics(2), 150.0)
    assert run(plan, 150.0, 1000.0) == []


def test_wishes_that_do_not_change_do_not_start_the_minute_anew():
    plan = settled(planner(), topics(2))
    for now in range(100, 160):
        plan.want(topics(1), float(now))
    ((at, _),) = run(plan, 159.0, 200.0)
    assert at == 160.0


def test_what_is_wanted_again_while_it_is_removed_is_registered_again():
    plan = settled(planner(), topics(1))
    plan.want([], 100.0)
    batch = plan.next(160.0)
    assert batch is not None
    plan.want(topics(1), 160.1)
    plan.acknowledged(batch)
    assert [batch.direction for _, batch in run(plan, 160.1, 170.0)] == [REG]


def test_a_new_connection_starts_from_nothing_with_the_same_wishes():
    plan = settled(planner(), topics(3))
    plan.reset()
    assert plan.registered == set()
    assert len(run(plan, 0.0, 10.0)) == 1
    assert plan.registered == set(topics(3))


def test_frames_that_come_too_fast_are_sent_again_later_and_slower():
    plan = planner(size=1)
    plan.want(topics(3), 0.0)
    for now in (0.0, SLOW_PAUSE, 2 * SLOW_PAUSE, 3 * SLOW_PAUSE):
        assert plan.due(now) == now
        batch = plan.next(now)
        assert batch is not None
        plan.refused(batch, Verdict.SLOW_DOWN, now)
    times = [at for at, _ in run(plan, 0.0, 100.0)]
    assert times[0] == 4 * SLOW_PAUSE
    assert times[1] - times[0] == pytest.approx(MAX_GAP)
    assert times[2] - times[1] < MAX_GAP
    assert plan.registered == set(topics(3))


@pytest.mark.parametrize("true_cap", [0, 1, 5, 40, 97, 100, 130, 199, 200])
def test_the_servers_own_cap_is_found_and_used_fully(true_cap):
    plan, now = planner(), 0.0
    held: set[str] = set()
    plan.want(topics(250), now)
    frames = 0
    while (due := plan.due(now)) is not None and due < 100.0:
        now = max(now, due)
        batch = plan.next(now)
        if batch is None:
            continue
        frames += 1
        if len(held | set(batch.items)) > true_cap:
            plan.refused(batch, Verdict.LOWER_CAP, now)
        else:
            held |= set(batch.items)
            plan.acknowledged(batch)
    assert len(plan.registered) == len(held) == true_cap
    assert len(plan.unplaced) == 250 - true_cap
    assert frames < 30


def test_refused_topics_are_left_alone_for_a_minute_and_hold_up_no_other():
    plan = planner(size=1)
    plan.want(topics(2), 0.0)
    batch = plan.next(0.0)
    assert batch is not None
    plan.refused(batch, Verdict.RETRY, 0.0)
    ((_, other),) = run(plan, 0.0, REFUSED_PAUSE - 0.1)
    assert other.topics == {topics(2)[1]}
    ((at, again),) = run(plan, REFUSED_PAUSE - 0.1, 2 * REFUSED_PAUSE)
    assert (at, again) == (REFUSED_PAUSE, batch)


@pytest.mark.parametrize("verdict", [Verdict.RETRY, Verdict.LOWER_CAP, Verdict.FATAL, Verdict.RENEW_TOKEN])
def test_a_refused_removal_is_tried_again_each_minute_not_at_once(verdict):
    plan = settled(planner(linger=0.0), topics(1))
    plan.want([], 100.0)
    times, now = [], 100.0
    while (due := plan.due(now)) is not None and due < 400.0:
        now = max(now, due)
        batch = plan.next(now)
        assert batch is not None
        times.append(now)
        plan.refused(batch, verdict, now)
    assert times == [100.0, 160.0, 220.0, 280.0, 340.0]
    assert plan.cap == 200


def test_wishes_that_the_server_refuses_leave_nothing_behind():
    plan = planner(linger=0.0)
    for number in range(1000):
        now = 100.0 * number
        plan.want(topics(1, start=number), now)
        batch = plan.next(now)
        assert batch is not None
        plan.want([], now)
        plan.refused(batch, Verdict.RETRY, now)
        assert plan.due(now) is None


WISHES = st.lists(
    st.lists(st.sampled_from([f"{kind}:{item}" for kind in ("0B", "0D") for item in "abcdef"]), unique=True),
    min_size=1,
    max_size=6,
)
ANSWERS = st.lists(
    st.sampled_from([Verdict.OK, Verdict.OK, Verdict.SLOW_DOWN, Verdict.LOWER_CAP, Verdict.RETRY]),
    max_size=60,
)


@given(WISHES, ANSWERS, st.integers(1, 8), st.integers(1, 5))
def test_whatever_is_wanted_and_answered_the_plan_settles_within_its_bounds(wishes, answers, cap, size):
    plan, now = planner(cap=cap, size=size, linger=5.0), 0.0
    server: set[str] = set()
    verdicts = iter(answers)
    for number, wanted in enumerate([*wishes, wishes[-1]]):
        plan.want(wanted, now)
        frames, end = [], now + 200.0
        while (due := plan.due(now)) is not None and due <= end:
            now = max(now, due)
            batch = plan.next(now)
            if batch is None:
                assert plan.due(now) != due
                continue
            frames.append(now)
            assert len(batch.items) <= size
            verdict = next(verdicts, Verdict.OK) if number < len(wishes) else Verdict.OK
            if verdict is Verdict.OK:
                plan.acknowledged(batch)
                server = server | batch.topics if batch.direction is REG else server - batch.topics
                assert len({split_topic(topic)[1] for topic in server}) <= cap
            else:
                plan.refused(batch, verdict, now)
        assert all(later - first >= 1.0 for first, later in zip(frames, frames[4:], strict=False))
        assert len(frames) <= 100
        assert plan.registered == server
        now = end
    assert server == set(wishes[-1]) - set(plan.unplaced)
