"""The hub: topics, groups, order, fences, last values, states and PINGs, without a loop or Redis."""

from __future__ import annotations

import json

import pytest

from gateway.feed_frames import Close, Registration, Verdict
from gateway.feed_registrations import Rights
from gateway.hub import GAP_NAMES, GROUP_MAX
from gateway.status import FeedState, Gap
from tests.gateway.hub_world import World, row


@pytest.fixture
def world():
    return World()


def test_rows_reach_those_who_registered_and_nobody_else(world):
    samsung, _ = world.join("0B:005930")
    hynix, _ = world.join("0B:000660")
    silent, _ = world.join()
    world.hub.publish("0B:005930", 1, row(100))
    assert world.prices(samsung) == [100]
    assert world.prices(hynix) == []
    assert world.prices(silent) == []


def test_rows_of_one_turn_share_a_frame_and_keep_their_order(world):
    client, _ = world.join("0B:005930", "0B:000660")
    world.hub.publish("0B:005930", 1, row(1) + b"," + row(2))
    world.hub.publish("0B:000660", 1, row(3, "000660"))
    world.hub.publish("0B:005930", 1, row(4))
    frames = world.frames(client)
    assert len(frames) == 1
    assert [one["values"]["10"] for one in frames[0]["data"]] == ["1", "2", "3", "4"]


def test_clients_with_the_same_topics_get_the_very_same_frame(world):
    first, _ = world.join("0B:005930")
    second, _ = world.join("0B:005930")
    world.hub.publish("0B:005930", 1, row(1))
    world.turn()
    assert first.queue.take() is second.queue.take()


def test_flushes_keep_the_floor_of_flush_ms(world):
    world.join("0B:005930")
    world.hub.publish("0B:005930", 1, row(1))
    world.turn()
    flushed = world.now
    world.hub.publish("0B:005930", 1, row(2))
    assert world.due[0][0] == pytest.approx(flushed + 0.005)


def test_a_burst_within_one_turn_is_cut_into_frames_of_bounded_size(world):
    client, _ = world.join("0B:005930")
    for price in range(5000):
        world.hub.publish("0B:005930", 1, row(price))
    world.turn()
    sizes, prices = [], []
    while (frame := client.queue.take()) is not None:
        sizes.append(len(frame))
        prices += [int(one["values"]["10"]) for one in json.loads(frame)["data"]]
    assert max(sizes) < 80 * 1024
    assert prices == list(range(5000))


def test_a_new_subscriber_gets_the_last_value_once_and_at_once(world):
    first, _ = world.join("0B:005930")
    world.hub.publish("0B:005930", 1, row(1) + b"," + row(2))
    late, _ = world.join("0B:005930")
    assert world.prices(late) == [2]
    world.hub.publish("0B:005930", 1, row(3))
    assert world.prices(late) == [3]
    assert world.prices(first) == [1, 2, 3]


def test_a_value_from_the_cache_is_given_only_while_nothing_newer_is_known(world):
    client, _ = world.join("0B:005930")
    assert world.hub.take_new() == {"0B:005930"}
    world.hub.restore("0B:005930", 1, world.wall - 60, row(7))
    assert world.prices(client) == [7]
    world.hub.publish("0B:005930", 1, row(8))
    world.hub.restore("0B:005930", 1, world.wall - 30, row(7))
    assert world.prices(client) == [8]
    world.hub.restore("0B:005930", 1, world.wall + 30, row(9))
    assert world.prices(client) == [9]


def test_rows_of_a_replaced_owner_are_dropped(world):
    client, _ = world.join("0B:005930")
    world.status(FeedState.LIVE, fence=2)
    world.hub.publish("0B:005930", 2, row(20))
    world.hub.publish("0B:005930", 1, row(10))
    world.hub.restore("0B:005930", 1, world.wall + 60, row(10))
    assert world.prices(client) == [20]


def test_a_process_that_starts_late_passes_nothing_of_an_owner_before_the_present_one(world):
    world.status(FeedState.LIVE, fence=7)
    client, _ = world.join("0B:005930")
    world.hub.publish("0B:005930", 6, row(60))
    assert world.prices(client) == []
    world.hub.publish("0B:005930", 8, row(80))  # a new owner's row, before its status
    world.status(FeedState.LIVE, fence=8)
    world.hub.publish("0B:005930", 7, row(70))
    assert world.prices(client) == [80]


def test_the_last_value_that_an_earlier_owner_left_is_still_known(world):
    world.status(FeedState.LIVE, fence=7)
    client, _ = world.join("0B:005930")
    world.hub.restore("0B:005930", 3, world.wall - 60, row(30))
    assert world.prices(client) == [30]


def gap(*topics, reason="disconnected"):
    """Return a gap of the one slot."""
    return Gap(
        slot="key-1",
        since=1_795_400_000.0,
        until=1_795_400_012.0,
        topics=topics,
        count=len(topics),
        reason=reason,
    )


def test_a_gap_is_told_to_those_whose_topics_are_concerned_and_names_theirs_alone(world):
    both, _ = world.join("0B:005930", "0B:000660", "0B:000001")
    other, _ = world.join("0B:000001")
    silent, _ = world.join()
    world.hub.gap(gap("0B:005930", "0B:000660", "0D:005930"))
    (told,) = world.frames(both)
    assert told == {
        "trnm": "SYSTEM",
        "code": "B1008",
        "message": "gap",
        "from": "2026-11-23T11:13:20+09:00",
        "to": "2026-11-23T11:13:32+09:00",
        "topics": ["0B:000660", "0B:005930"],
        "count": 2,
        "reason": "disconnected",
    }
    assert world.frames(other) == world.frames(silent) == []


def test_a_gap_of_many_topics_names_fifty(world):
    topics = [f"0B:{number:06}" for number in range(80)]
    client, _ = world.join(*topics)
    world.hub.gap(gap(*topics))
    (told,) = world.frames(client)
    assert (told["topics"], told["count"]) == (topics[:GAP_NAMES], 80)


def test_registering_more_keeps_what_flows_and_repeats_no_value(world):
    client, _ = world.join("0B:005930")
    world.hub.publish("0B:005930", 1, row(1))
    world.hub.set_topics(client, frozenset({"0B:005930", "0B:000660"}))
    world.hub.publish("0B:005930", 1, row(2))
    assert world.prices(client) == [1, 2]


def test_after_remove_nothing_more_of_the_topic_comes(world):
    client, _ = world.join("0B:005930")
    world.hub.set_topics(client, frozenset())
    world.hub.publish("0B:005930", 1, row(1))
    assert world.prices(client) == []


def test_topics_are_wanted_while_somebody_wants_them(world):
    first, _ = world.join("0B:005930")
    second, _ = world.join("0B:005930", "0D:005930")
    assert world.hub.topics == {"0B:005930", "0D:005930"}
    assert world.changes == 2
    world.hub.remove(second)
    assert world.hub.topics == {"0B:005930"}
    world.hub.remove(first)
    world.hub.remove(first)
    assert world.hub.topics == frozenset()
    assert world.changes == 4


def test_a_slow_client_costs_the_others_nothing(world):
    slow, slow_verdicts = world.join("0B:005930")
    quick, quick_verdicts = world.join("0B:005930")
    got = []
    for price in range(2000):
        world.hub.publish("0B:005930", 1, row(price))
        got += world.prices(quick)
    assert got == list(range(2000))
    assert len(slow.queue) <= 256
    world.now += 5.0
    world.hub.tick()
    assert [verdict.code for verdict in slow_verdicts] == [Close.TOO_SLOW]
    assert quick_verdicts == []
    assert world.hub.dropped == slow.queue.dropped_total > 1000


def test_counts_of_clients_that_left_are_kept(world):
    client, _ = world.join("0B:005930")
    world.hub.publish("0B:005930", 1, row(1))
    world.turn()
    world.hub.remove(client)
    assert world.hub.rows_out == 1


def test_ping_comes_each_ten_seconds_after_login(world):
    client, _ = world.join()
    for _ in range(50):
        world.now += 0.5
        world.hub.tick()
    assert world.frames(client) == [{"trnm": "PING"}, {"trnm": "PING"}]


def test_no_state_is_told_before_the_first_registration(world):
    client, _ = world.join()
    world.status(FeedState.RECONNECTING)
    world.hub.tick()
    assert world.frames(client) == []
    world.hub.set_topics(client, frozenset({"0B:005930"}))
    assert [frame["code"] for frame in world.frames(client)] == ["B1002"]


def test_a_live_feed_is_not_announced_to_a_plain_kiwoom_client(world):
    plain, _ = world.join("0B:005930")
    curious, _ = world.join("0B:005930", full_status=True)
    assert world.frames(plain) == []
    assert [frame["code"] for frame in world.frames(curious)] == ["B1001"]


def test_each_change_of_state_is_told_once(world):
    client, _ = world.join("0B:005930")
    for feed in (FeedState.RECONNECTING, FeedState.RECONNECTING, FeedState.LIVE):
        world.status(feed, attempts=world.hub.state.view(world.now, world.wall).details["attempts"] + 1)
        world.hub.tick()
    assert [frame["message"] for frame in world.frames(client)] == ["reconnecting", "live"]


def test_full_status_tells_each_attempt(world):
    client, _ = world.join("0B:005930", full_status=True)
    world.frames(client)
    for attempts in (1, 2, 2):
        world.status(FeedState.RECONNECTING, attempts=attempts)
        world.hub.tick()
    assert [frame["attempts"] for frame in world.frames(client)] == [1, 2]


def test_the_first_subscriber_is_told_how_old_a_value_is_that_comes_late(world):
    curious, _ = world.join("0B:005930", "0B:000660", full_status=True)
    plain, _ = world.join("0B:005930", "0B:000660")
    world.frames(curious), world.frames(plain)
    for item in ("005930", "000660"):
        world.hub.restore(f"0B:{item}", 1, world.wall - 3600, row(7, item))
    snapshot, rows = world.frames(curious)
    assert snapshot["code"] == "B1007"
    assert set(snapshot["topics"]) == {"0B:005930", "0B:000660"}
    assert rows["trnm"] == "REAL"
    assert [frame["trnm"] for frame in world.frames(plain)] == ["REAL"]
    world.hub.publish("0B:005930", 1, row(8))
    assert [frame["trnm"] for frame in world.frames(curious)] == ["REAL"]


def test_full_status_tells_how_old_last_values_are(world):
    world.join("0B:005930")
    world.hub.restore("0B:005930", 1, world.wall - 3600, row(7))
    curious, _ = world.join("0B:005930", full_status=True)
    snapshot = next(frame for frame in world.frames(curious) if frame.get("code") == "B1007")
    assert list(snapshot["topics"]) == ["0B:005930"]
    assert snapshot["topics"]["0B:005930"].endswith("+09:00")


def test_an_expired_token_ends_its_connection(world):
    _, verdicts = world.join(expires=world.wall + 10)
    world.hub.tick()
    assert verdicts == []
    world.wall += 10
    world.hub.tick()
    assert [verdict.code for verdict in verdicts] == [Close.BAD_KEY]


def test_everybody_can_be_sent_away_with_a_time_of_their_own(world):
    told = [world.join()[1] for _ in range(3)]
    world.hub.close_all(lambda place: Verdict(Close.RESTARTING, "restarting", place))
    assert sorted(verdicts[0].retry_after for verdicts in told) == [0, 1, 2]


def test_changed_rights_end_topics_at_once_and_the_client_is_told_which(world):
    client, verdicts = world.join()
    client.registrations.apply(Registration("REG", "1", False, (("0B", "005930"), ("0B", "000660"))))
    world.hub.set_topics(client, client.registrations.topics)
    world.hub.restrict(client, Rights(items=frozenset({"005930"})))
    assert world.hub.topics == {"0B:005930"}
    assert world.frames(client) == [
        {
            "trnm": "SYSTEM",
            "code": "B1009",
            "message": "rights changed",
            "removed": 1,
            "topics": ["0B:000660"],
        }
    ]
    world.hub.restrict(client, Rights(items=frozenset({"005930"})))
    assert world.frames(client) == []
    assert verdicts == []


def test_changed_rights_do_not_bring_a_client_back_that_left_meanwhile(world):
    client, _ = world.join()
    client.registrations.apply(Registration("REG", "1", False, (("0B", "005930"), ("0B", "000660"))))
    world.hub.set_topics(client, client.registrations.topics)
    world.hub.remove(client)
    world.hub.restrict(client, Rights(items=frozenset({"005930"})))
    assert world.hub.topics == frozenset()
    assert client.group is None


def test_rows_that_come_while_many_are_written_to_go_out_with_those_who_wait():
    world = World()
    early, *_, late = [world.join("0B:005930")[0] for _ in range(GROUP_MAX + 1)]

    def spend():
        world.now += 0.0001

    for client in world.hub.clients:
        client.queue._wake = spend  # what writing to one client costs
    world.hub.publish("0B:005930", 1, row("1"))
    world.due.pop(0)[1]()
    assert (len(early.queue), len(late.queue)) == (1, 0), "the loop gets its turn after a group"

    world.hub.publish("0B:005930", 1, row("2"))

    assert [len(frame["data"]) for frame in world.frames(late)] == [2]
    assert [len(frame["data"]) for frame in world.frames(early)] == [1, 1]


def test_a_group_that_a_client_left_takes_the_next_one():
    world = World()
    clients = [world.join("0B:005930")[0] for _ in range(GROUP_MAX)]
    world.hub.remove(clients[0])

    assert world.join("0B:005930")[0].group is clients[1].group
    assert world.join("0B:005930")[0].group is not clients[1].group
