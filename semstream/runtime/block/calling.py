"""Calling a block: what every host (node, test harness) does the same way with inputs and outputs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from semstream.runtime.block.batch import Done
from semstream.runtime.block.block import Block, Out
from semstream.runtime.errors import PortError, SkipFrame
from semstream.runtime.frames.frame import Frame
from semstream.runtime.frames.types import NAME_OF_DTYPE
from semstream.runtime.frames.wire import MAX_SEQ


class Numbering:
    """Numbers of the frames that a source or a renumbering block gives, from 0 in each stream."""

    def __init__(self) -> None:
        self._next: dict[tuple[str, str], int] = {}

    def take(self, port: str, stream: str) -> int:
        """The next number."""
        seq = self._next.get((port, stream), 0)
        self._next[(port, stream)] = seq + 1
        return seq


def call(
    block: Block, inputs: Mapping[str, Frame], numbering: Numbering, done: Done | None = None
) -> Iterator[tuple[str, Frame]]:
    """Process one input (a frame, or the joined frames by port) and yield (port, checked frame).

    Parameters
    ----------
    block, inputs, numbering
        Of the input.
    done
        What the block has made of it already, in a batch.

    Raises
    ------
    SkipFrame
        If the block skips the frame.
    PortError
        If an output is not what its port declares.
    """
    if len(block.inputs) == 1:
        (first,) = inputs.values()
        result = block.process(first) if done is None else done.take()
        merged = first
    else:
        result = block.process(**inputs)
        merged = joined(inputs)
    if result is None:
        return
    if isinstance(result, (Frame, Mapping)):
        result = (result,)
    elif not isinstance(result, Iterable):
        raise PortError(
            f"block {block.name!r}: process() gave a {type(result).__name__}; expected a Frame, an iterable of frames, "
            '{"port": Frame} or None'
        )
    for item in result:
        for port, frame in by_port(block, item):
            if frame is merged:  # passed on as it came: the input keeps its own trace
                frame = frame.replace()
            inherit(block, port, frame, merged, numbering)
            yield port, frame


def joined(inputs: Mapping[str, Frame]) -> Frame:
    """Place, tags and trace that a join's output inherits: the earliest t0, all tags, the longest trace."""
    frames = list(inputs.values())
    tags: dict[str, Any] = {}
    for frame in frames:
        tags.update(frame.tags)
    trace = max((frame.trace for frame in frames), key=len)
    return Frame({}, frames[0].seq, frames[0].stream, min(frame.t0_ns for frame in frames), tags, trace)


def by_port(block: Block, item: Any) -> Iterable[tuple[str, Frame]]:
    """Split one output item into (port, frame)."""
    if isinstance(item, Frame):
        if len(block.outputs) != 1:
            raise PortError(
                f"block {block.name!r} gave a Frame and has the output ports {list(block.outputs)}; "
                + ('give {"port": Frame}' if block.outputs else "a block without output gives None")
            )
        return ((next(iter(block.outputs)), item),)
    if not isinstance(item, Mapping):
        raise PortError(f"block {block.name!r} gave a {type(item).__name__}; expected a Frame or {{'port': Frame}}")
    for port, frame in item.items():
        if port not in block.outputs or not isinstance(frame, Frame):
            raise PortError(
                f"block {block.name!r} gave a {type(frame).__name__} for port {port!r}; "
                f"expected frames for {list(block.outputs)}"
            )
    return tuple(item.items())


def inherit(block: Block, port: str, frame: Frame, source: Frame, numbering: Numbering) -> None:
    """Give an output its place, tags and trace from the input, in place, and check it."""
    if source.tags and frame.tags is not source.tags:
        frame.tags = {**source.tags, **frame.tags}
    frame.stream, frame.t0_ns = source.stream, source.t0_ns
    frame.seq = numbering.take(port, frame.stream) if block.renumber else source.seq
    frame.trace = [*source.trace, [block.name, time.time_ns()]]
    check(block, block.outputs[port], frame)


def stamp(block: Block, port: str, frame: Frame, numbering: Numbering) -> None:
    """Check a frame of a source, number and time it, in place. A frame that has a t0_ns keeps it (replay)."""
    frame.seq = numbering.take(port, frame.stream)
    check(block, block.outputs[port], frame)
    now = time.time_ns()
    if not 0 < frame.t0_ns <= MAX_SEQ:
        frame.t0_ns = now
    frame.trace = [[block.name, now]]


def check(block: Block, out: Out, frame: Frame) -> None:
    """Check a frame against its port and make its arrays read-only, for receivers may share them."""
    described = []
    for name, array in frame.arrays.items():
        dtype = getattr(array, "dtype", None)
        if dtype not in NAME_OF_DTYPE:
            kind = dtype or type(array).__name__
            raise PortError(f"block {block.name!r}, port {out.name!r}: array {name!r} is a {kind}; give a NumPy array")
        array.flags.writeable = False
        described.append((name, dtype, array.shape))
    seen = out.type._sent
    if described == seen[0]:
        return
    wrong = out.type.mismatch(described)
    if wrong is not None:
        raise PortError(f"block {block.name!r}, port {out.name!r}: {wrong[1]}")
    seen[0] = described


def source_items(block: Block, iterator: Iterator[Any]) -> Iterator[Any]:
    """Items of a source; yields a `SkipFrame` for one that raised it."""
    while True:
        try:
            item = next(iterator)
        except StopIteration:
            return
        except SkipFrame as skip:
            if hasattr(iterator, "gi_frame"):
                raise PortError(
                    f"block {block.name!r} raised SkipFrame({skip.reason!r}) in its generator frames(), which ends it; "
                    "call self.skip(reason) instead"
                ) from skip
            yield skip
            continue
        yield item
