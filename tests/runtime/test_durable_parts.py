"""Parts of durable edges by themselves: accounts, snapshots, rings, order."""

from __future__ import annotations

import os
from collections import Counter, deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semstream.runtime import Block, BlockError, Flowgraph, FlowgraphFileError, Frame
from semstream.runtime.durable.ledger import Ledger, Unit
from semstream.runtime.durable.order import PatientJoin, PatientReorder
from semstream.runtime.durable.sender import _ranges
from semstream.runtime.durable.store import FileStore, Item, MemoryStore, is_for_good, pack_state, unpack_state
from semstream.runtime.edges.order import Ranges
from semstream.runtime.errors import WireError
from semstream.runtime.graph.guard import Guard


def guard(folder: Path, run: str = "run") -> Guard:
    return Guard(run, str(folder), 16, True, "on_failure")


# -- accounts ------------------------------------------------------------------------------------------------------


def test_a_unit_is_acknowledged_once_it_is_closed_and_all_is_settled() -> None:
    told: list[int] = []
    ledger = Ledger(lambda unit: told.append(unit.number), gathers=False)
    unit = ledger.begin([("in", ("main", 0))])
    ledger.owe()
    ledger.owe()
    ledger.settle(unit)
    ledger.settle(unit)
    assert told == []  # more could still come of it
    ledger.close()
    assert told == [1]
    assert ledger.clear


def test_where_there_is_state_it_waits_for_a_snapshot_that_has_it() -> None:
    told: list[int] = []
    ledger = Ledger(lambda unit: told.append(unit.number), gathers=True)
    first = ledger.begin([])
    ledger.owe()
    ledger.close()
    assert ledger.wait_s() == 0
    ledger.hold("state after the first")
    ledger.begin([])
    ledger.close()  # the second is complete at once, and is not in the snapshot
    assert ledger.valid is None
    ledger.settle(first)
    assert ledger.valid == "state after the first"
    ledger.commit(0.0)
    assert told == [1]
    assert not ledger.clear
    assert 0 < ledger.wait_s() < 1
    ledger.hold("state after both")
    ledger.commit(0.0)
    assert told == [1, 2]
    assert ledger.clear


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=40), st.randoms())
def test_nothing_is_acknowledged_before_all_that_came_of_it_has_arrived(
    steps: list[tuple[int, bool]], random: Any
) -> None:
    owed: list[Unit] = []

    def acknowledged(unit: Unit) -> None:
        assert unit.closed
        assert unit not in owed

    ledger = Ledger(acknowledged, gathers=True)
    for outputs, snapshot in steps:
        unit = ledger.begin([])
        for _ in range(outputs):
            ledger.owe()
            owed.append(unit)
        ledger.close()
        if owed and random.random() < 0.7:
            ledger.settle(owed.pop(random.randrange(len(owed))))
        if snapshot and ledger._snapshot is None:
            ledger.hold(0)
        if ledger.valid is not None:
            ledger.commit(0.0)
    while owed:
        ledger.settle(owed.pop())
    for _ in range(2):
        if ledger.valid is not None:
            ledger.commit(0.0)
        if ledger._snapshot is None and ledger._fresh:
            ledger.hold(0)
    if ledger.valid is not None:
        ledger.commit(0.0)
    assert ledger.clear


# -- snapshots -----------------------------------------------------------------------------------------------------


def test_a_state_of_plain_values_and_arrays_comes_back() -> None:
    class Keeper(Block):
        state = ("count", "queue", "seen", "picture", "pair", "size", "names")

        def start(self) -> None:
            self.count, self.queue, self.seen = 3, deque([1, 2], maxlen=2), {1.5, 2.5}
            self.size: tuple[int, int] | None = None
            self.names: Counter[str] = Counter()
            self.picture, self.pair = np.arange(6, dtype=np.uint8).reshape(2, 3), (1, "a")

    block, other = Keeper(), Keeper()
    block.start()
    other.start()
    block.count, block.picture = 9, block.picture + 1
    block.queue.append(7)
    block.size = 8, 9
    block.names["a"] += 2
    other.restore(unpack_state(pack_state(block.snapshot())))
    assert (other.count, other.seen, other.pair) == (9, {1.5, 2.5}, (1, "a"))
    assert other.size == (8, 9)
    other.names["b"] += 1
    assert other.names == {"a": 2, "b": 1}
    assert other.queue == deque([2, 7])
    assert other.queue.maxlen == 2
    assert np.array_equal(other.picture, block.picture)
    assert other.picture.flags.writeable
    with pytest.raises(TypeError, match="object is not a small value"):
        pack_state(object())


@pytest.mark.parametrize("spoil", [b"", b"short", None])
def test_a_snapshot_that_is_damaged_or_of_another_run_is_refused(spoil: bytes | None, tmp_path: Path) -> None:
    store = FileStore(guard(tmp_path), "a")
    assert store.load("a") is None
    store.save("a", b"first")
    store.save("a", b"second")
    assert store.load("a") == b"second"
    if spoil is not None:
        (tmp_path / "a.snapshot").write_bytes(spoil)
    with pytest.raises(BlockError, match=r"block 'a': its snapshot .*a\.snapshot cannot be read") as caught:
        FileStore(guard(tmp_path, "other run"), "a").load("a")
    assert is_for_good(caught.value)


def test_a_snapshot_that_cannot_be_written_says_where_and_what_to_do(tmp_path: Path) -> None:
    store = FileStore(guard(tmp_path / "gone"), "a")
    with pytest.raises(BlockError, match=r"its snapshot cannot be written to .*TMPDIR"):
        store.save("a", b"x")


# -- rings ---------------------------------------------------------------------------------------------------------


def item(number: int) -> Item:
    frame = Frame({"x": np.full(3, number), "y": np.zeros(0)}, number, "main", 7, {"tag": [number]}, [["a", 1]])
    return Item(number, [("out", frame), ("side", frame.replace())], [("out", number + 1)])


def test_a_ring_gives_back_what_it_has_whole_and_forgets_what_may_go(tmp_path: Path) -> None:
    ring = FileStore(guard(tmp_path), "a").ring("a")
    for number in range(200):
        ring.add(item(number))
    ring.drop(150)
    files = sorted(tmp_path.iterdir(), key=os.path.getmtime)
    assert len(files) == 2
    with files[-1].open("r+b") as last:
        last.truncate(os.fstat(last.fileno()).st_size - 5)  # a death in the middle of writing item 199
    (tmp_path / "a.ring.9").touch()  # and one before anything was written
    again = FileStore(guard(tmp_path), "a").ring("a")
    items = again.items()
    assert [found.number for found in items] == list(range(128, 199))
    port, frame = items[-1].frames[0]
    assert port == "out"
    assert frame.equals(item(198).frames[0][1])
    assert frame.trace == [["a", 1]]
    assert items[-1].gaps == [("out", 199)]
    again.add(item(199))
    third = FileStore(guard(tmp_path), "a").ring("a")
    assert [found.number for found in third.items()] == list(range(128, 200))


def test_a_ring_of_another_run_is_refused(tmp_path: Path) -> None:
    FileStore(guard(tmp_path), "a").ring("a").add(item(0))
    with pytest.raises(BlockError, match=r"block 'a': the ring .* is of another run") as caught:
        FileStore(guard(tmp_path, "other run"), "a").ring("a").items()
    assert is_for_good(caught.value)


def test_a_ring_in_memory_outlives_its_node() -> None:
    store = MemoryStore()
    for number in range(5):
        store.ring("a").add(item(number))
    store.ring("a").drop(3)
    assert [found.number for found in store.ring("a").items()] == [3, 4]


# -- order ---------------------------------------------------------------------------------------------------------


def test_reordering_waits_for_what_comes_late_over_another_link() -> None:
    reorder: PatientReorder[str] = PatientReorder(2, {})
    assert reorder.push(0, ("main", 3), "d") == []
    assert reorder.push(1, ("main", 4), "e") == []  # both links have passed 0 to 2: after a replay they still come
    assert reorder.push(1, ("main", 0), "a") == [(1, "a")]
    assert reorder.gap(("main", 1, 2)) == [(0, "d"), (1, "e")]
    reorder.push(0, ("main", 9), "j")
    assert reorder.end(0) == []
    assert reorder.end(1) == [(0, "j")]


def test_reordering_goes_on_from_where_an_earlier_life_stood() -> None:
    done = Ranges()
    done.add(0, 41)
    done.add(44, 44)
    reorder: PatientReorder[str] = PatientReorder(2, {"main": done})
    assert reorder.push(0, ("main", 42), "a") == [(0, "a")]
    assert reorder.push(1, ("main", 45), "c") == []
    assert reorder.push(0, ("main", 43), "b") == [(0, "b"), (1, "c")]


def test_joining_gives_up_only_what_a_gap_or_an_end_says() -> None:
    join: PatientJoin[str] = PatientJoin(["a", "b"])
    assert join.push("a", ("main", 5), "a5") == (None, [], [])
    assert join.push("b", ("main", 9), "b9") == (None, [], [])  # b has passed 5
    assert join.push("b", ("main", 5), "b5")[0] == {"a": "a5", "b": "b5"}
    assert join.gap(("main", 9, 9))[0] == ["b9"]
    assert join.push("a", ("main", 9), "a9") == (None, ["a9"], [("main", 9, 9)])
    assert join.push("a", ("main", 10), "a10") == (None, [], [])
    assert join.end("b") == (["a10"], [("main", 10, 10)])


@pytest.mark.parametrize("wrong", [3, [3], [["main", 1]], [["main", 2, 1]], [["main", -1, 1]], [[1, 1, 1]]])
def test_acknowledgements_from_outside_are_checked(wrong: object) -> None:
    with pytest.raises(WireError):
        _ranges(wrong)


def test_what_is_asked_for_stands_in_the_file_of_a_flowgraph(tmp_path: Path) -> None:
    from blocks import ImageSink, ImageSource, SnrSweep

    graph = Flowgraph("kept", durable="disk", ring=99, restart_limit=7)
    source, sweep, sink = ImageSource(), SnrSweep(), ImageSink(path="x")
    graph.add(sweep, restart="always")
    graph.connect(source, sweep)
    graph.connect(sweep, sink, durable=False)
    graph.save(tmp_path / "kept.yaml")
    text = (tmp_path / "kept.yaml").read_text()
    again = Flowgraph.load(tmp_path / "kept.yaml")
    assert "durable: disk" in text
    assert (again.durable, again.ring, again.restart_limit, again.restart) == ("disk", 99, 7, None)
    assert [edge.durable for edge in again.edges] == [True, False]
    assert again.restart_of("snr_sweep") == "always"
    assert again.restart_of("image_sink") == "on_failure"


def test_what_is_wrong_about_it_in_a_file_is_said_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(
        "semstream: 1\ndurable: tape\nblocks:\n  a: {class: ImageSource, restart: sometimes}\n"
        "  b: {class: ImageSink, settings: {path: x}}\nedges:\n  - {connect: a -> b, policy: latest, durable: true}\n"
    )
    with pytest.raises(FlowgraphFileError) as caught:
        Flowgraph.load(path)
    lines = {finding.line: finding.message for finding in caught.value.findings}
    assert "durable" in lines[2]
    assert "'never', 'on_failure' or 'always'" in lines[4]
    assert "a durable edge drops nothing" in lines[7]
