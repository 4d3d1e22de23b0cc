"""Targets of the runtime's messages: frames, credit, handles, slots, the control line."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from semstream.runtime import ANY, ArraySpec, Frame, PortType, WireError
from semstream.runtime.frames import wire
from semstream.runtime.frames.types import DTYPE_NAMES
from tools.fuzzing.target import Draw, Target, holds, plain

IMAGE = PortType("Image", {"image": ArraySpec("uint8", ("H", "W", 3))}, {"mask": ArraySpec("uint8", ("H", "W"))}, 3000)
QUIET = logging.getLogger("semstream.fuzz")
QUIET.disabled = True


class Slots:
    """Shared memory of 256 bytes, in whatever slot."""

    def root(self, place: Any) -> np.ndarray:
        """All of it; none where the place is an odd number."""
        if not isinstance(place, list) or len(place) != 3:
            raise WireError("slot", "no place")
        return np.zeros(256, np.uint8)


def parts_of(data: bytes) -> list[bytes]:
    """Message parts: their number, the lengths of all but the last, and their bytes."""
    draw = Draw(data)
    lengths = [draw.below(2**16) for _ in range(draw.below(4))]
    return [draw.take(length) for length in lengths] + [draw.rest()]


def joined(parts: list[bytes]) -> bytes:
    """Inverse of `parts_of`."""
    lengths = b"".join(len(part).to_bytes(2, "little") for part in parts[:-1])
    return bytes([len(parts) - 1]) + lengths + b"".join(parts)


def frame_of(draw: Draw) -> Frame:
    """Any frame that can be sent."""
    return Frame(
        {f"{draw.text()}{i}": draw.array(DTYPE_NAMES) for i in range(draw.below(4))},
        draw.number() % 2**63,
        draw.text(),
        draw.number() % 2**63,
        {draw.text(): draw.value() for _ in range(draw.below(4))},
        [[draw.text(), draw.number()] for _ in range(draw.below(3))],
    )


def same(first: Frame, second: Frame) -> bool:
    """Whether two frames are the same; NaN is as good as NaN."""
    return [bytes(p) for p in wire.encode(first)] == [bytes(p) for p in wire.encode(second)]


def read_message(data: bytes) -> None:
    """Any bytes are a message or a `WireError`; a frame that was taken can be sent on as it is."""
    parts = parts_of(data)
    for port_type, slots in ((IMAGE, None), (ANY, None), (ANY, Slots())):
        try:
            message = wire.decode(parts, port_type, slots)
        except WireError as error:
            holds(len(str(error)) < 2000, "the reason is short, whatever came")
            continue
        frame = message.frame
        if frame is not None:
            again = wire.decode([bytes(part) for part in wire.encode(frame)], port_type).frame
            holds(again is not None and same(frame, again), "a frame sent on is the same frame")


def carry_frame(data: bytes) -> None:
    """Any frame survives the wire, and is handed over between threads as the wire would carry it."""
    from semstream.runtime.frames.handover import accept, offer

    frame = frame_of(Draw(data))
    wired = wire.decode([bytes(part) for part in wire.encode(frame)], ANY).frame
    holds(wired is not None and same(frame, wired), "decode(encode(x)) is x")
    for array in frame.arrays.values():
        array.flags.writeable = False
    handed = accept(offer(frame), ANY)
    holds(wired is not None and same(handed, wired), "the handover gives what the wire gives")
    holds(repr(handed.tags) == repr(wired.tags) if wired else False, "of the same types")


def read_port_type(data: bytes) -> None:
    """Any value is a description of a port type or a `ValueError`; what is read is described as it was."""
    draw = Draw(data)
    told = IMAGE.describe()
    for _ in range(draw.below(3)):
        told[draw.pick(("arrays", "optional"))][draw.text()] = draw.value()
    texts = ("(2,)f8", "f4,f4", "O", "uint8", draw.take(30).decode("latin1"))
    told["arrays"][draw.text()] = [draw.pick(texts), [draw.value() for _ in range(draw.below(3))]]
    for value in (told, draw.value()):
        try:
            found = PortType.from_description(value)
        except ValueError as error:
            holds(type(error) is ValueError and len(str(error)) < 500, "said in few words")
            continue
        holds(PortType.from_description(found.describe()) == found, "from_description(describe(x)) is x")
        holds(found.refusal(IMAGE) is None or len(str(found.refusal(IMAGE))) < 50_000, "a refusal can be sent")


@contextlib.contextmanager
def sender() -> Iterator[Callable[[bytes], None]]:
    """What a receiver says to a sender: never more credit than was granted, nothing but counted errors."""
    import zmq

    from semstream.runtime.counters import NodeCounters
    from semstream.runtime.edges.sender import Sender
    from semstream.runtime.graph.nodes import OutputSpec

    with zmq.Context() as context:
        spec = OutputSpec("out", "a.out -> b.in", "inproc://fuzz-sender", "drop_oldest", 2, [], remote=True)
        edge = Sender(context, spec, IMAGE, "a", NodeCounters(), QUIET)
        peer = context.socket(zmq.DEALER)
        peer.linger = 0
        peer.connect(spec.endpoint)

        def one(data: bytes) -> None:
            for message in (parts_of(data), parts_of(data[::-1])):
                peer.send_multipart(message)
            edge.on_readable()
            holds(edge.total == sum(edge.credit.values()), "the credit adds up")
            for identity, count in edge.credit.items():
                holds(0 <= count <= edge._granted[identity], "no more credit than was granted")
            holds(len(edge.credit) <= 1 and len(edge.queue) <= 2, "one peer, and nothing piles up")
            while peer.poll(0):
                peer.recv_multipart()

        try:
            yield one
        finally:
            peer.close()
            edge.close(0)


@contextlib.contextmanager
def receiver() -> Iterator[Callable[[bytes], None]]:
    """What a sender says to a receiver: frames of the port's type arrive, all else is counted; nothing piles up."""
    import zmq

    from semstream.runtime.block.block import In
    from semstream.runtime.counters import NodeCounters
    from semstream.runtime.edges.receiver import Inputs
    from semstream.runtime.graph.nodes import InputSpec

    with zmq.Context() as context:
        peer = context.socket(zmq.ROUTER)
        peer.linger = 0
        peer.bind("inproc://fuzz-receiver")

        def open_inputs() -> tuple[Inputs, bytes]:
            spec = InputSpec("image", "a.out -> b.in", ["inproc://fuzz-receiver"], ["a"], 2, remote=True)
            port = In(IMAGE)
            port.name = "image"
            opened = Inputs(context, [spec], {"image": port}, "b", NodeCounters(), QUIET)
            return opened, peer.recv_multipart()[0]

        inputs, identity = open_inputs()

        def one(data: bytes) -> None:
            nonlocal inputs, identity
            for message in (parts_of(data), parts_of(data[1:])):
                peer.send_multipart([identity, *message])
            (link,) = inputs.links
            for _ in range(3):
                inputs.on_readable(link)
            for entry in inputs.ready:
                if isinstance(entry, dict):
                    holds(set(entry["image"].frame.arrays) <= {"image", "mask"}, "only what the port declares")
            holds(len(inputs.ready) <= 2 * wire.MAX_ITEMS + 2, "no more than was sent")
            inputs.ready.clear()
            while peer.poll(0):
                peer.recv_multipart()
            if link.ended or inputs.lost:
                link.close(0)
                inputs, identity = open_inputs()

        try:
            yield one
        finally:
            inputs.links[0].close(0)
            peer.close()


@contextlib.contextmanager
def slots() -> Iterator[Callable[[bytes], None]]:
    """Places in shared memory, and where it is: only this run's, only within it, else a `WireError`."""
    import os

    from semstream.runtime.edges.slot_reader import SlotReader
    from semstream.runtime.edges.slots import Pool

    pool = Pool("fuzz")
    pool.allow(4)
    lease = pool.lease(5000)
    assert lease is not None
    assert pool.address is not None
    pid, fd = pool.address

    def one(data: bytes) -> None:
        draw = Draw(data)
        reader = SlotReader("fuzz")
        try:
            with contextlib.suppress(WireError):
                # One's own process alone: what other processes have open is nothing to play with.
                reader.open(draw.pick((pid, pid, -1, "self")), draw.pick((fd, fd, draw.number() % 2**8, draw.value())))
            for _ in range(3):
                place = draw.pick((lease.place, [draw.number(), *lease.place[1:]], draw.value()))
                with contextlib.suppress(WireError):
                    root = reader.root(place)
                    holds(root.size <= os.fstat(fd).st_size, "within the memory")
                    holds(not root.flags.writeable, "read-only")
                    del root
            holds(len(reader.given_back()) <= 3, "no lease from nowhere")
        finally:
            reader.close()

    try:
        yield one
    finally:
        pool.close()


@contextlib.contextmanager
def control_line() -> Iterator[Callable[[bytes], None]]:
    """Bytes on the line between owner and node: maps with an ``op``, or nothing."""
    import zmq

    from semstream.runtime.engines.control import take

    with zmq.Context() as context:
        line, peer = context.socket(zmq.DEALER), context.socket(zmq.DEALER)
        line.linger = peer.linger = 0
        line.bind("inproc://fuzz-control")
        peer.connect("inproc://fuzz-control")

        def one(data: bytes) -> None:
            for part in parts_of(data):
                peer.send(part)
            for message in take(line):
                holds(isinstance(message["op"], str), "a message has an op")

        try:
            yield one
        finally:
            line.close()
            peer.close()


def seeds() -> list[bytes]:
    """Messages of each kind."""
    frame = Frame({"image": np.arange(24, dtype=np.uint8).reshape(2, 4, 3)}, 3, "main", 5, {"snr_db": 1.0}, [["a", 1]])
    messages = [[bytes(part) for part in wire.encode(frame, gaps)] for gaps in ((), [("main", 0, 2)])]
    header = wire.unpack(messages[0][0])
    messages.append([wire.pack(header | {"slot": [1, 0, 4096], "places": [0]})])
    messages += [
        [wire.control("hello", node="b", credit=2, type=IMAGE.describe())],
        [wire.control("credit", n=1)],
        [wire.control("credit", n=1), bytes(16)],
        [wire.control("gap", gaps=[["main", 0, 5]])],
        [wire.control("error", text="x", block="a")],
        [wire.control("share", pid=1, fd=3)],
        [wire.control("eos", text="", block="a")],
        [wire.control("bye")],
        [wire.pack(header | {"tags": {"deep": 0}})[:-2] + b"\x91" * 600 + b"\x00"],
        *([b"\x81\xa1v" + b"\x91" * n + b"\x01"] for n in (600, 1100)),
    ]
    return [joined(message) for message in messages]


def control_seeds() -> list[bytes]:
    """Messages of a node."""
    return [joined([wire.pack({"op": "record", "record": {"seq": 1}}), wire.pack({"op": "log", "record": ["a", 20]})])]


TARGETS = [
    Target("wire", "messages of an edge, whole", plain(read_message), seeds),
    Target("frame", "any frame, over the wire and by handover", plain(carry_frame), lambda: [bytes(range(200))]),
    Target("port-type", "what a port carries, as told by a peer", plain(read_port_type), lambda: [bytes(range(90))]),
    Target("sender", "what receivers say: hello, credit, leases", sender, seeds),
    Target("receiver", "what senders say: frames, gaps, end", receiver, seeds),
    Target("slots", "places in shared memory", slots, lambda: [bytes(range(64)), bytes(64)]),
    Target("control", "the line between owner and node", control_line, control_seeds),
]
