"""Frames handed to another thread: the same as over the wire, nobody else's, and none left behind."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st
from runtime_blocks import Collect, Failing, Keep, Ramp, Relay, Samples, Scale, Stuck, seqs
from test_flowgraph import both, wait_for
from test_wire import IMAGE, frames

from semstream.runtime import ANY, ArraySpec, Block, Flowgraph, FlowgraphError, Frame, In, Out, PortType, Run, WireError
from semstream.runtime.counters import NodeCounters
from semstream.runtime.edges.handles import Mailbox, Mailboxes
from semstream.runtime.edges.receiver import Inputs
from semstream.runtime.frames import wire
from semstream.runtime.frames.handover import accept, offer
from semstream.runtime.graph.nodes import InputSpec


def over_the_wire(frame: Frame, port_type: PortType = ANY) -> Frame | str:
    try:
        received = wire.decode([bytes(part) for part in wire.encode(frame)], port_type).frame
    except WireError as error:
        return error.reason
    assert received is not None
    return received


def by_hand(frame: Frame, port_type: PortType = ANY) -> Frame | str:
    for array in frame.arrays.values():
        array.flags.writeable = False
    try:
        return accept(offer(frame), port_type)
    except WireError as error:
        return error.reason


def assert_same(frame: Frame, port_type: PortType = ANY) -> None:
    wired, handed = over_the_wire(frame, port_type), by_hand(frame, port_type)
    if isinstance(wired, str) or isinstance(handed, str):
        assert handed == wired
        return
    assert handed.equals(wired)
    assert repr(handed.tags) == repr(wired.tags)  # the types too
    assert handed.trace == wired.trace
    for name, array in handed.arrays.items():
        assert type(array) is np.ndarray
        assert array.strides == wired[name].strides
        assert not array.flags.writeable


@given(frames)
def test_any_frame_is_handed_over_as_the_wire_would_carry_it(frame: Frame) -> None:
    assert_same(frame)


odd_values: list[Any] = [
    np.float32(4), np.int64(3), np.array([1, 2]), (1, (2, 3)), {3, 1}, {"a": {"b": (1,)}}, b"\x00\xff", 2**64 - 1,
    "é", "x" * 5000, float("inf"), True, None, [[], {}], np.str_("s"),
]  # fmt: skip


@pytest.mark.parametrize("value", odd_values, ids=repr)
def test_a_tag_of_any_kind_arrives_as_over_the_wire(value: Any) -> None:
    assert_same(Frame({"a": np.zeros(2)}, tags={"tag": value, "n": 1}))


@pytest.mark.parametrize(
    "change",
    [
        {"seq": np.int64(4)}, {"seq": -1}, {"seq": 2**63}, {"t0_ns": -5}, {"stream": "s" * 300}, {"stream": "ü"},
        {"tags": {3: 4}}, {"tags": {"x" * 300: 1}}, {"trace": [("a", 1)]}, {"trace": [["a"]]}, {"trace": [["a", "b"]]},
        {"trace": [["a", 1]] * 2000}, {"trace": [["a", -1]]}, {"arrays": {"": np.zeros(1)}},
        {"arrays": {"n" * 300: np.zeros(1)}}, {"arrays": {f"a{i}": np.zeros(1) for i in range(65)}},
        {"arrays": {"a": np.zeros((1,) * 17)}},
    ],
    ids=lambda change: repr(change)[:40],
)  # fmt: skip
def test_an_odd_frame_is_taken_or_refused_as_over_the_wire(change: dict[str, Any]) -> None:
    frame = Frame({"a": np.arange(3)}, seq=1, t0_ns=2, trace=[["source", 5]])
    for name, value in change.items():
        setattr(frame, name, value)
    assert_same(frame)


@pytest.mark.parametrize("tags", [{"o": object()}, {"big": 2**64}, {"text": "\ud800"}, {"long": "x" * 2**21}])
def test_tags_without_wire_form_are_refused_by_the_sender_as_over_the_wire(tags: dict[str, Any]) -> None:
    for form in (wire.encode, offer):
        with pytest.raises((TypeError, ValueError, OverflowError)):
            form(Frame({}, tags=tags))


@given(
    st.dictionaries(
        st.sampled_from(["image", "mask", "other"]),
        st.tuples(
            st.sampled_from(["uint8", "float32"]), st.lists(st.sampled_from([0, 1, 2, 3, 40]), max_size=4).map(tuple)
        ),
        max_size=3,
    )
)
def test_arrays_are_checked_against_the_port_as_over_the_wire(
    described: dict[str, tuple[str, tuple[int, ...]]],
) -> None:
    assert_same(Frame({name: np.zeros(shape, dtype) for name, (dtype, shape) in described.items()}), IMAGE)


class Special(np.ndarray):
    """A kind of array of one's own."""


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24.0).reshape(4, 6).T, np.arange(24)[::3], np.arange(24)[::-1], np.ones((2, 3)).view(Special),
        np.asfortranarray(np.ones((300, 300))), np.array(3.0), np.ones((300, 300)).reshape(-1)[5:],
        np.broadcast_to(np.arange(3.0), (4, 3)), np.zeros((0, 3)),
    ],
)  # fmt: skip
def test_arrays_arrive_as_plain_arrays_in_c_order(array: np.ndarray) -> None:
    assert_same(Frame({"a": array}))


def test_large_arrays_and_small_ones_of_their_own_are_shared_and_cannot_be_made_writeable() -> None:
    for array in (np.arange(5), np.zeros(2**17)):
        received = by_hand(Frame({"a": array}))
        assert isinstance(received, Frame)
        assert np.shares_memory(received["a"], array)
        with pytest.raises(ValueError, match="WRITEABLE"):
            received["a"].flags.writeable = True


def test_what_a_sender_changes_afterwards_does_not_reach_the_receiver() -> None:
    memory = np.arange(10)
    frame = Frame({"view": memory[2:5]}, tags={"nested": [1], "plain": 1}, trace=[["a", 1]])
    plain = Frame({"own": np.arange(3)}, tags={"plain": 1}, trace=[["a", 1]])
    for sent in (frame, plain):
        for array in sent.arrays.values():
            array.flags.writeable = False
        first, offered = offer(sent), copy.deepcopy(sent)
        memory[:] = -1
        sent.tags.clear()
        sent.trace.append(["b", 2])
        sent.arrays["more"] = np.zeros(1)
        got, other = accept(first, ANY), accept(first, ANY)
        got.tags["mine"] = 1
        got.trace[0][0] = "mine"
        if "nested" in got.tags:
            got.tags["nested"].append(2)
        assert other.equals(offered)
        assert other.trace == offered.trace == [["a", 1]]


class Marks(Block):
    """Writes into the tags and the trace that it gets."""

    samples = In(Samples)
    out = Out(Samples)

    def process(self, frame: Frame) -> Frame:
        assert frame.tags == {"index": frame.seq}
        frame.tags["mark"] = [self.name]
        frame.trace[0][0] = self.name
        return frame


@both
def test_branches_do_not_see_each_others_marks(engine: str) -> None:
    fg = Flowgraph()
    source = fg.add(Ramp(count=30))
    for name in "ab":
        fg.connect(source, Marks(name=name), Collect(name=f"sink_{name}"))
    records = fg.run(engine, timeout=60).records
    for name in "ab":
        assert [r["tags"] for r in records[f"sink_{name}"]] == [{"index": i, "mark": [name]} for i in range(30)]
        assert {r["hops"][0] for r in records[f"sink_{name}"]} == {name}


# -- handles -------------------------------------------------------------------------------------------------------


def left(run: Run) -> int:
    engine: Any = run._conductor.engine
    return len(engine._mailboxes)


def test_nothing_is_left_of_a_run_that_ends_drops_skips_fails_or_is_stopped() -> None:
    ended = Flowgraph()
    ended.connect(Ramp(count=200), ended.add(Scale(), replicas=2), Collect())
    dropping = Flowgraph()
    dropping.connect(Ramp(count=300), Collect(slow_s=0.002), policy="drop_oldest", credit=3)
    for fg in (ended, dropping):
        assert left(fg.run(timeout=30)) == 0
    failing = Flowgraph()
    source = failing.add(Ramp(count=-1))
    failing.connect(source, Failing(at=20), credit=8)
    failing.connect(source, Collect())
    with pytest.raises(FlowgraphError) as caught:
        failing.run(timeout=30)
    assert left(caught.value.run) == 0  # type: ignore[arg-type]


def test_an_edge_that_drops_frames_keeps_no_more_than_its_credit() -> None:
    fg = Flowgraph()
    fg.connect(Ramp(count=-1, every_s=0.0002), Collect(slow_s=0.02), policy="drop_oldest", credit=3, depth=2)
    run = fg.start()
    wait_for(lambda: sum(run.counters()["edges"]["ramp.out -> collect.samples"]["drops"].values()) > 200)
    assert left(run) <= 3
    run.stop()


def test_a_stuck_receiver_keeps_no_frames_when_the_run_is_stopped() -> None:
    fg = Flowgraph()
    # Slowly enough that the receiver is stuck in its first frame when the others come.
    fg.connect(Ramp(count=-1, every_s=0.005), Stuck(), credit=8)
    run = fg.start()
    wait_for(lambda: bool(run.records["stuck"]))
    wait_for(lambda: left(run) > 0)
    run.stop()
    assert run.finished
    assert left(run) == 0


def test_a_mailbox_gives_a_frame_once_and_keeps_none_once_it_is_closed() -> None:
    mailboxes = Mailboxes()
    name, mailbox = mailboxes.open()
    assert mailboxes.find(name) is mailbox
    assert mailboxes.find("other") is mailboxes.find(5) is None
    item = (offer(Frame()), ())
    handle = mailbox.put(item)
    assert mailbox.take(handle) is item
    assert mailbox.take(handle) is None
    mailbox.put(item)
    assert len(mailboxes) == 1
    mailboxes.close()
    mailbox.put(item)
    assert len(mailboxes) == 0


def test_handles_that_stand_for_nothing_are_dropped_and_counted_and_the_stream_goes_on() -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.bind("inproc://edge")
    mailboxes, counters = Mailboxes(), NodeCounters()
    spec = InputSpec("samples", "a -> b", ["inproc://edge"], ["a"], credit=4)
    inputs = Inputs(context, [spec], Collect.inputs, "b", counters, Collect().log, mailboxes)
    identity, hello = router.recv_multipart()
    mailbox = mailboxes.find(wire.decode([hello], ANY).fields["mailbox"])
    assert isinstance(mailbox, Mailbox)
    good = [mailbox.put((offer(Frame({"x": np.zeros(2, np.float32)}, seq=i)), ())) for i in range(2)]
    wrong = mailbox.put((offer(Frame({"x": np.zeros(2)})), ()))
    for parts in (
        [b"\xc1999"], [b"\xc1"], [good[0]], [good[0]], [wrong], [b"\xc1" + bytes(900)], [b""], [good[1]],
    ):  # fmt: skip
        router.send_multipart([identity, *parts])
    (link,) = inputs.links
    while len(inputs.ready) < 2:
        inputs.on_readable(link)
    assert [unit["samples"].frame.seq for unit in inputs.ready if isinstance(unit, dict)] == [0, 1]
    assert counters.bad == {"handle": 4, "dtype": 1, "not_msgpack": 1}
    assert len(mailboxes) == 0
    mailbox.put((offer(Frame()), ()))
    link.close(0)
    assert len(mailboxes) == 0
    router.close(0)
    context.term()


def test_a_receiver_without_a_mailbox_in_the_run_gets_nothing() -> None:
    fg = Flowgraph()
    fg.connect(Ramp(count=-1, every_s=0.001), Collect())
    run = fg.start()
    engine: Any = run._conductor.engine
    wait_for(lambda: len(run.records["collect"]) > 3)
    dealer = engine._context.socket(zmq.DEALER)
    dealer.connect("inproc://edge-0-0")
    for mailbox in ({}, {"mailbox": "99"}, {"mailbox": ["0"]}):
        dealer.send(wire.control("hello", node="x", credit=5, **mailbox))
    wait_for(lambda: run.counters()["blocks"]["ramp"].get("bad") == {"hello": 3})
    assert not dealer.poll(0)
    dealer.close(0)
    run.stop()
    assert seqs(run.records["collect"]) == list(range(len(run.records["collect"])))


@both
def test_what_a_block_keeps_stays_as_it_came(engine: str) -> None:
    fg = Flowgraph()
    source = fg.add(Ramp(count=150, size=30_000))
    fg.connect(source, Keep(), Relay(), Keep(name="behind"), Collect(), credit=3)
    fg.connect(source, Keep(name="beside", most=5), Collect(name="end"))
    records = fg.run(engine, timeout=60).records
    for name, kept in (("keep", 150), ("behind", 150), ("beside", 5)):
        assert records[name] == [{"kept": kept, "right": True, "writeable": False}]
    assert seqs(records["collect"]) == seqs(records["end"]) == list(range(150))


def test_a_type_that_is_declared_is_still_checked_between_threads() -> None:
    narrow = PortType("Samples", {"x": ArraySpec("float32", (7,))})

    class Narrow(Block):
        samples = In(narrow)

        def process(self, frame: Frame) -> None:
            self.publish({"seq": frame.seq})

    class Changing(Ramp):
        out = Out(Samples)

        def frames(self):
            for size in (7, 6, 7):
                yield Frame({"x": np.zeros(size, np.float32)})

    fg = Flowgraph()
    fg.connect(Changing(), Narrow())
    run = fg.run(timeout=20)
    assert seqs(run.records["narrow"]) == [0, 2]
    assert run.counters()["blocks"]["narrow"]["bad"] == {"shape": 1}
