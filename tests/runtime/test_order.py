"""Reorder and Join: order restored, everything accounted for, nothing waits for what will not come."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semstream.runtime import WireError
from semstream.runtime.edges import order
from semstream.runtime.edges.order import Join, Ranges, Reorder


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 6)), max_size=30))
def test_ranges_are_a_set(items: list[tuple[int, int]]) -> None:
    ranges, expected = Ranges(), set()
    for first, more in items:
        ranges.add(first, first + more)
        expected |= set(range(first, first + more + 1))
    assert {value for value in range(80) if value in ranges} == expected
    pairs = list(ranges)
    assert all(a[1] + 1 < b[0] for a, b in pairwise(pairs))
    for value in range(70):
        end = ranges.end_of_run(value)
        assert end not in expected
        assert all(x in expected for x in range(value, end))


@given(st.lists(st.sampled_from(["frame", "gap", "lost"]), max_size=40), st.integers(2, 4), st.integers(0, 999))
def test_frames_of_replicas_come_out_in_order_and_complete(fates: list[str], links: int, seed: int) -> None:
    random = Random(seed)
    queues: list[list[tuple[str, int]]] = [[] for _ in range(links)]
    for seq, fate in enumerate(fates):
        if fate != "lost":
            queues[random.randrange(links)].append((fate, seq))
    reorder: Reorder[int] = Reorder(links)
    out: list[int] = []
    while any(queues) or reorder.open:
        link = random.randrange(links)
        if queues[link]:
            fate, seq = queues[link].pop(0)
            if fate == "frame":
                out += [s for _, s in reorder.push(link, ("main", seq), seq)]
            else:
                out += [s for _, s in reorder.gap(("main", seq, seq))]
        elif link in reorder.open:
            out += [s for _, s in reorder.end(link)]
    assert out == [seq for seq, fate in enumerate(fates) if fate == "frame"]
    assert reorder.held_of == [0] * links


def test_a_frame_in_sequence_is_released_at_once_and_a_gap_makes_nobody_wait() -> None:
    reorder: Reorder[str] = Reorder(2)
    assert reorder.push(0, ("main", 0), "a") == [(0, "a")]
    assert reorder.push(0, ("main", 2), "c") == []
    assert reorder.gap(("main", 1, 1)) == [(0, "c")]


def test_a_lost_number_is_given_up_once_every_link_has_passed_it() -> None:
    reorder: Reorder[str] = Reorder(2)
    assert reorder.push(0, ("main", 1), "b") == []
    assert reorder.push(1, ("main", 2), "c") == [(0, "b"), (1, "c")]


@given(
    st.lists(st.tuples(*[st.sampled_from(["frame", "gap", "lost"])] * 3), max_size=25),
    st.integers(1, 2),
    st.integers(0, 999),
)
def test_a_join_matches_what_all_ports_have_and_accounts_for_the_rest(
    fates: list[tuple[str, str, str]], count: int, seed: int
) -> None:
    random = Random(seed)
    ports = ["a", "b", "c"][: count + 1]
    queues = {p: [(fate[i], seq) for seq, fate in enumerate(fates) if fate[i] != "lost"] for i, p in enumerate(ports)}
    join: Join[tuple[str, int]] = Join(ports)
    complete: list[int] = []
    unmatched: list[tuple[str, int]] = []
    given_frames = sum(fate == "frame" for queue in queues.values() for fate, _ in queue)
    open_ports = set(ports)
    while open_ports:
        port = random.choice(sorted(open_ports))
        if not queues[port]:
            open_ports.discard(port)
            unmatched += join.end(port)[0]
            continue
        fate, seq = queues[port].pop(0)
        if fate == "gap":
            unmatched += join.gap(("main", seq, seq))[0]
        else:
            whole, lost, _ = join.push(port, ("main", seq), (port, seq))
            unmatched += lost
            if whole is not None:
                assert list(whole) == ports
                complete.append(seq)
    expected = [seq for seq, fate in enumerate(fates) if all(fate[i] == "frame" for i in range(len(ports)))]
    assert complete == expected
    assert len(unmatched) == given_frames - len(ports) * len(expected)
    assert join.pending == {}
    assert set(join.held_of.values()) == {0}


def test_a_join_gives_up_a_key_as_soon_as_one_path_has_passed_it() -> None:
    join: Join[str] = Join(["a", "b"])
    assert join.push("a", ("main", 0), "a0") == (None, [], [])
    assert join.push("b", ("main", 1), "b1") == (None, ["a0"], [("main", 0, 0)])
    assert join.push("a", ("main", 1), "a1") == ({"a": "a1", "b": "b1"}, [], [])


def test_streams_are_joined_apart() -> None:
    join: Join[str] = Join(["a", "b"])
    assert join.push("a", ("left", 0), "l")[0] is None
    assert join.push("b", ("right", 0), "r")[0] is None
    assert join.push("b", ("left", 0), "m")[0] == {"a": "l", "b": "m"}


def test_streams_beyond_all_measure_are_refused_and_those_that_are_known_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "MAX_STREAMS", 3)
    reorder: Reorder[str] = Reorder(2)
    join: Join[str] = Join(["a", "b"])
    for name in ("x", "y", "z"):
        assert reorder.push(0, (name, 0), name)
        join.push("a", (name, 0), name)
        join.gap((name, 5, 6))
    for refused in (
        lambda: reorder.push(1, ("w", 0), "w"), lambda: reorder.gap(("w", 0, 1)), lambda: join.push("a", ("w", 0), "w"),
        lambda: join.gap(("w", 0, 1)),
    ):  # fmt: skip
        with pytest.raises(WireError, match="streams"):
            refused()
    assert join.push("b", ("y", 0), "other")[0] == {"a": "y", "b": "other"}
    assert reorder.push(1, ("z", 1), "more") == [(1, "more")]
