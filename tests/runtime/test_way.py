"""The way between hosts as a receiver measures it: credit by what is under way, and what is late."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semstream.runtime import WireError
from semstream.runtime.edges import numbers
from semstream.runtime.edges.way import AUTO_BYTES, Way
from semstream.runtime.frames.wire import MAX_CREDIT

MS = 1_000_000


def travelled(round_trip_ms: float, every_ms: float, frames: int = 0, nbytes: int = 30_000) -> tuple[Way, int]:
    """A way that frames have come over, evenly, for two seconds if not told how many; and the time then."""
    way, now = Way(), 10**15
    for _ in range(frames or int(2000 / every_ms)):
        now += int(every_ms * MS)
        way.came(now, int(round_trip_ms * MS), nbytes)
        way.took(now)
    return way, now


def test_a_lossless_edge_gets_twice_the_bandwidth_delay_product() -> None:
    assert travelled(100, 40)[0].credit(True) == 2 * 100 / 40 + 1
    assert travelled(100, 2)[0].credit(True) == 2 * 100 / 2 + 1


def test_a_live_edge_gets_what_keeps_the_way_full_and_no_more() -> None:
    assert travelled(100, 40)[0].credit(False) == 4
    assert travelled(100, 2)[0].credit(False) == 51


def test_a_near_peer_needs_no_more_than_two_or_three() -> None:
    assert travelled(0.1, 10)[0].credit(True) == 2
    assert travelled(0.1, 10)[0].credit(False) == 2


def test_repairs_of_lost_packets_count_for_a_lossless_edge_and_queues_do_not_grow_it_for_ever() -> None:
    way, now = travelled(100, 40)
    way.came(now, 350 * MS, 30_000)
    assert way.credit(True) == 10  # 25 frames/s times 0.35 s, rounded up, and one
    way.came(now, 9_000 * MS, 30_000)
    assert way.credit(True) == 16  # no more than 0.4 s above two round trips
    assert way.credit(False) <= 5


def test_large_frames_get_credit_for_no_more_bytes_than_the_budget() -> None:
    way, _ = travelled(200, 1, nbytes=AUTO_BYTES // 10)
    assert way.credit(True) == 10
    assert travelled(200, 1, nbytes=2 * AUTO_BYTES)[0].credit(True) == 2


@given(
    st.lists(st.tuples(st.integers(0, 10**11), st.integers(0, 10**12), st.integers(0, 2**31)), max_size=50),
    st.booleans(),
)
def test_whatever_comes_the_credit_is_one_that_can_be_granted(
    messages: list[tuple[int, int, int]], lossless: bool
) -> None:
    way, now = Way(), 10**15
    for pause, round_trip, nbytes in messages:
        now += pause
        way.came(now, round_trip, nbytes)
        way.is_late(round_trip, 4)
        way.took(now)
        assert 2 <= way.credit(lossless) <= MAX_CREDIT


def test_a_frame_that_was_held_up_for_three_service_times_is_late_until_the_way_itself_is_longer() -> None:
    way, now = travelled(100, 40)
    assert not way.is_late(215 * MS, 4)
    way.came(now, 2_000 * MS, 30_000)
    assert [way.is_late(2_000 * MS, 4) for _ in range(8)] == [True] * 5 + [False] * 3  # no cut holds up more than 4
    assert way.least_ns == 2_000 * MS


def test_nothing_is_late_before_the_service_time_is_known() -> None:
    way, _ = travelled(100, 40, frames=8)
    assert not way.is_late(10_000 * MS, 4)


def test_the_least_round_trip_is_forgotten_after_a_while() -> None:
    way, now = travelled(50, 40)
    for _ in range(600):
        now += 40 * MS
        way.came(now, 80 * MS, 30_000)
    assert way.least_ns == 80 * MS


def test_a_stall_does_not_move_the_service_time() -> None:
    way, now = travelled(100, 40)
    way.took(now + 10_000 * MS)
    assert way.service_ns == 40 * MS


def test_numbers_come_back_as_they_were_sent() -> None:
    assert numbers.unpack_hop(numbers.pack_hop(7, 8, 9, 10)) == (7, 8, 9, 10)
    assert numbers.unpack_received(numbers.pack_received(3, 4)) == (3, 4)


@given(st.binary(max_size=64))
def test_a_damaged_number_is_refused_or_in_range(part: bytes) -> None:
    for unpack in (numbers.unpack_hop, numbers.unpack_received):
        try:
            values = unpack(part)
        except WireError:
            continue
        assert len(part) == 8 * len(values)
        assert all(0 <= value <= numbers.MOST_NS for value in values)


def test_a_part_of_another_kind_is_refused() -> None:
    with pytest.raises(WireError, match="expected 32 bytes"):
        numbers.unpack_hop(None)
