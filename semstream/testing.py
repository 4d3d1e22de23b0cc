"""Run one block without sockets, threads or a flowgraph, with the semantics of the runtime.

>>> frames = run_block(Gain(gain=2.0), [Frame({"x": x})])      # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, overload

from semstream.runtime.block.batch import Done, done_together
from semstream.runtime.block.block import Block, Out
from semstream.runtime.block.calling import Numbering, by_port, call, check, source_items, stamp
from semstream.runtime.block.settings import changed
from semstream.runtime.edges.order import Join
from semstream.runtime.errors import SkipFrame
from semstream.runtime.frames.frame import Frame


class Harness:
    """Host of one block: what it publishes, skips and how long it would have waited.

    Attributes
    ----------
    records : list of dict
        Published records.
    shown : dict of str to dict
        Newest value of each name that the block shows.
    skips : list of str
        Reasons of skipped frames, one a frame.
    unmatched : int
        Frames of a join that found no partner.
    paused : float
        Seconds that the block asked to wait; nothing waits here.
    """

    def __init__(self, block: Block, seed: int = 0) -> None:
        self.block = block
        self.records: list[dict[str, Any]] = []
        self.skips: list[str] = []
        self.unmatched = 0
        self.paused = 0.0
        self.shown: dict[str, dict[str, Any]] = {}
        self.outputs: dict[str, list[Frame]] = {name: [] for name in block.outputs}
        self._numbering = Numbering()
        block.seed = seed
        block._host = self
        block.start()

    def give(self, *frames: Frame, **by_port: Frame) -> None:
        """Process one input: a frame, or a frame a port."""
        self._work(by_port or dict(zip(self.block.inputs, frames, strict=True)))

    def give_batch(self, frames: Iterable[Frame]) -> None:
        """Process frames of a block with one input as if they had all been waiting, however many `Block.batch` says."""
        frames = list(frames)
        (port,) = self.block.inputs
        while frames:
            together = frames[: max(1, self.block.batch)]
            done = done_together(self.block, together) if len(together) > 1 else [None]
            for frame, of_frame in zip(together, done, strict=False):
                self._work({port: frame}, of_frame)
            del frames[: len(together)]

    def _work(self, inputs: Mapping[str, Frame], done: Done | None = None) -> None:
        for port, frame in inputs.items():
            check(self.block, _as_out(self.block, port), frame)
        try:
            for port, output in call(self.block, inputs, self._numbering, done):
                self.outputs[port].append(output)
        except SkipFrame as skip:
            self.skips.append(skip.reason)

    def set(self, **settings: Any) -> None:
        """Change live settings, as `Run.set` does between frames."""
        self.block.settings = changed(self.block.settings, settings, self.block.name)
        self.block.on_change(set(settings))

    def finish(self) -> None:
        """Stop the block."""
        self.block.stop()

    def publish(self, record: dict[str, Any]) -> None:
        """Keep a record."""
        self.records.append(record)

    def show(self, name: str, value: dict[str, Any]) -> None:
        """Keep the newest value of each name."""
        self.shown[name] = value

    def skip(self, reason: str) -> None:
        """Count a frame that a source leaves out."""
        self.skips.append(reason)
        for port in self.block.outputs:
            self._numbering.take(port, "main")

    def pause(self, seconds: float) -> bool:
        """Note the wish to wait."""
        self.paused += max(0.0, seconds)
        return True


@overload
def run_block(block: Block, frames: Mapping[str, Iterable[Frame]], seed: int = 0) -> Any: ...
@overload
def run_block(block: Block, frames: Iterable[Frame], seed: int = 0) -> Any: ...
def run_block(block: Block, frames: Mapping[str, Iterable[Frame]] | Iterable[Frame], seed: int = 0) -> Any:
    """Start a block, give it frames, stop it.

    Parameters
    ----------
    block
        A block with inputs.
    frames
        Its input; for a join ``{port: frames}``, matched by (stream, seq) as in a run. Frames that all have seq 0 are
        numbered from 0.
    seed
        Seed of the graph.

    Returns
    -------
    list of Frame, or dict of port to list of Frame
        The output; a dict if the block has several outputs. Published records are in ``harness_of(block).records``.
    """
    harness = Harness(block, seed)
    with _finished(harness):
        if isinstance(frames, Mapping):
            _run_join(harness, {port: _numbered(items) for port, items in frames.items()})
        else:
            for frame in _numbered(frames):
                harness.give(frame)
    return harness.outputs if len(block.outputs) > 1 else next(iter(harness.outputs.values()), [])


def run_source(block: Block, n: int | None = None, seed: int = 0) -> list[Frame]:
    """Take the first `n` frames of a source (all, if it ends and `n` is None), numbered and stamped."""
    harness = Harness(block, seed)
    numbering = harness._numbering
    taken: list[Frame] = []
    with _finished(harness):
        generator = iter(block.frames())
        if n != 0:
            for item in source_items(block, generator):
                if isinstance(item, SkipFrame):
                    harness.skip(item.reason)
                    continue
                for port, frame in by_port(block, item):
                    stamp(block, port, frame, numbering)
                    taken.append(frame)
                if n is not None and len(taken) >= n:
                    break
        if hasattr(generator, "close"):
            generator.close()
    return taken


@contextmanager
def _finished(harness: Harness) -> Iterator[None]:
    """Stop the block at the end, also when it has failed, as a run does; the failure is what counts then."""
    try:
        yield
    except BaseException:
        with suppress(Exception):
            harness.finish()
        raise
    harness.finish()


def harness_of(block: Block) -> Harness:
    """The harness that ran a block last, with its records and skips."""
    host = block._host
    if not isinstance(host, Harness):
        raise TypeError(f"block {block.name!r} was not run by semstream.testing")
    return host


def _run_join(harness: Harness, frames: dict[str, list[Frame]]) -> None:
    join: Join[Frame] = Join(frames)
    for i in range(max(map(len, frames.values()), default=0)):
        for port, items in frames.items():
            if i < len(items):
                frame = items[i]
                complete, unmatched, _ = join.push(port, (frame.stream, frame.seq), frame)
                harness.unmatched += len(unmatched)
                if complete is not None:
                    harness.give(**complete)
    for port in frames:
        harness.unmatched += len(join.end(port)[0])


def _numbered(frames: Iterable[Frame]) -> list[Frame]:
    frames = list(frames)
    if len(frames) > 1 and all(frame.seq == 0 for frame in frames):
        for seq, frame in enumerate(frames):
            frame.seq = seq
    return frames


def _as_out(block: Block, port: str) -> Out:
    declared = block.port(port).port
    out = Out(declared.type)
    out.name = port
    return out
