"""Recorder and Replay: the frames of an edge into a file, and back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from semstream.runtime import (
    ANY,
    Block,
    BlockError,
    BoundPort,
    Flowgraph,
    FlowgraphError,
    Frame,
    In,
    Out,
    PortType,
    setting,
)
from semstream.runtime.frames.recording import RecordingError, RecordingReader, RecordingWriter


class Recorder(Block):
    """Write every frame to a file (`semstream.runtime.frames.recording`).

    Input
    -----
    recorded : anything. Connect it beside the edge's receiver; over an edge of policy ``block`` nothing is lost.

    Records
    -------
    One at the end: path, frames, bytes.
    """

    recorded = In(ANY)

    class Settings(Block.Settings):
        path: str = setting(description="file to write")
        overwrite: bool = setting(False, description="write over a file that exists")
        type: str = setting("", description="what is recorded, as JSON of PortType.describe(); `record` fills it in")

    def start(self) -> None:
        self._writer: RecordingWriter | None = None
        if not self.restarts:
            self._writer = self._open()

    def _open(self) -> RecordingWriter:
        facts = {"flowgraph": self.graph, "seed": self.seed} | ({"run": self.run} if self.run else {})
        path = Path(self.settings.path)
        try:
            kind = PortType.from_description(json.loads(self.settings.type)) if self.settings.type else ANY
            return RecordingWriter(path, kind, facts, self.settings.overwrite or self._is_own(path))
        except (RecordingError, ValueError) as error:
            raise BlockError(f"block {self.name!r}, setting 'path': {error}") from None

    def _is_own(self, path: Path) -> bool:
        """Whether an earlier life of this block has made the file, and no frame of it counts."""
        if not self.run or not path.exists():
            return False
        try:
            with RecordingReader(path) as reader:
                return reader.facts.get("run") == self.run
        except RecordingError:
            return not path.stat().st_size  # it has died, or another one, before it could write to it

    def snapshot(self) -> dict[str, Any]:
        return {"bytes": self._writer.size if self._writer is not None else 0}

    def restore(self, state: dict[str, Any]) -> None:
        if state["bytes"]:
            try:
                self._writer = RecordingWriter.resume(Path(self.settings.path), state["bytes"])
            except RecordingError as error:
                raise BlockError(f"block {self.name!r}: {error}") from None

    def process(self, frame: Frame) -> None:
        self._writer = self._writer or self._open()
        try:
            self._writer.add(frame)
        except RecordingError as error:
            raise BlockError(f"block {self.name!r}: {error}") from None

    def stop(self) -> None:
        if self._writer is None or self._writer.closed:
            return
        try:
            self._writer.close()
        except RecordingError as error:
            raise BlockError(f"block {self.name!r}: {error}") from None
        size = Path(self.settings.path).stat().st_size
        self.publish({"path": self.settings.path, "frames": self._writer.count, "bytes": size})


class Replay(Block):
    """Give the frames of a recording, in place of the block whose output was recorded.

    Output
    ------
    out : what was recorded. Frames keep their numbers and tags, so that noise drawn by number comes out the same;
    numbers that the recording lacks are skipped and counted as ``not recorded``.

    Usage
    -----
    ``Replay(path="symbols.rec")`` gives them as fast as they are taken, ``pace="recorded"`` as they came.
    """

    out = Out(ANY)

    class Settings(Block.Settings):
        path: str = setting(description="file that a Recorder has written")
        pace: Literal["fast", "recorded"] = setting("fast", description="as fast as taken, or as it was recorded")
        speed: float = setting(1.0, gt=0, description="factor on the recorded pace")
        keep_times: bool = setting(False, description="keep the time of each frame's making, else it is made now")

    def __init__(self, *, name: str | None = None, **settings: Any) -> None:
        super().__init__(name=name, **settings)
        with self._open() as reader:
            found = reader.port_type
        if not found.is_any:
            out = Out(found)
            out.name = "out"
            self.outputs = {"out": out}  # type: ignore[misc]  # this file's own type, checked as edges are connected

    def frames(self) -> Iterator[Frame]:
        with self._open() as reader:
            if reader.lost_bytes:
                self.log.warning(
                    "%s was cut short: %d whole frames, %d bytes lost", reader.path, len(reader), reader.lost_bytes
                )
            expected: dict[str, int] = {}
            begin = time.monotonic_ns()
            for number in range(len(reader)):
                try:
                    at_ns, frame = reader.read(number)
                except RecordingError as error:
                    self.log.warning("%s; left out", error)
                    continue
                if self.settings.pace == "recorded":
                    wait = begin + at_ns / self.settings.speed - time.monotonic_ns()
                    if wait > 0 and not self.pause(wait / 1e9):
                        return
                seq = expected.get(frame.stream, 0)
                if frame.stream == "main":
                    for _ in range(seq, frame.seq):
                        self.skip("not recorded")
                expected[frame.stream] = max(seq, frame.seq) + 1
                t0_ns = frame.t0_ns if self.settings.keep_times else 0
                yield Frame(frame.arrays, frame.seq, frame.stream, t0_ns, frame.tags)

    def _open(self) -> RecordingReader:
        try:
            return RecordingReader(Path(self.settings.path))
        except RecordingError as error:
            raise BlockError(f"block {self.name!r}, setting 'path': {error}") from None


def record(graph: Flowgraph, edge: str, path: str, overwrite: bool = False) -> Recorder:
    """Put a recorder on an edge of a wired flowgraph.

    Parameters
    ----------
    edge
        ``a.out -> b.in``, or the sending port alone, ``a.out`` or ``a``.
    path
        File to write.

    Raises
    ------
    FlowgraphError
        If there is no such edge; the message lists those that there are.
    """
    port = _sender(graph, edge)
    kind = json.dumps(graph.type_of(port).describe())
    recorder = Recorder(path=path, overwrite=overwrite, type=kind)
    graph.connect(port, recorder, depth=16)
    return recorder


def _sender(graph: Flowgraph, edge: str) -> BoundPort:
    first = edge.partition("->")[0].strip()
    for name, block in graph.blocks.items():
        for port in block.outputs:
            if first == f"{name}.{port}" or (first == name and len(block.outputs) == 1):
                return block.port(port)
    known = ", ".join(f"{name}.{port}" for name, block in graph.blocks.items() for port in block.outputs)
    raise FlowgraphError(f"flowgraph {graph.name!r}: no edge {edge!r}; ports that give something: {known}")


def replayed(graph: Flowgraph, edge: str, path: str, pace: str = "fast", speed: float = 1.0) -> Flowgraph:
    """The flowgraph with a recording in place of what gives an edge, and without the blocks that fed only that.

    Parameters
    ----------
    edge, path
        As for `record`.
    pace, speed
        Settings of `Replay`.

    Raises
    ------
    FlowgraphError
        If there is no such edge, or what was recorded does not fit there.
    """
    port = _sender(graph, edge)
    replay = Replay(path=path, pace=pace, speed=speed)

    def from_port(sender: BoundPort | None) -> bool:
        return sender is not None and sender.block is port.block and sender.name == port.name

    def gone(name: str, seen: frozenset[str]) -> bool:
        """Whether all that a block gives goes to the recorded port, or to blocks that are gone."""
        given = [e for e in graph.edges if e.sender is not None and e.sender.block.name == name]
        return bool(given) and all(
            from_port(e.sender) or (e.receiver is not None and e.receiver.block.name in seen) for e in given
        )

    left_out: frozenset[str] = frozenset()
    while more := frozenset(name for name in graph.blocks if gone(name, left_out)) - left_out:
        left_out |= more
    new = Flowgraph(
        graph.name, graph.seed, durable=graph.durable, restart=graph.restart, ring=graph.ring,
        restart_limit=graph.restart_limit,
    )  # fmt: skip
    for name, block in graph.blocks.items():
        if name not in left_out:
            place = graph.placements[name]
            new.add(
                block,
                graph.replicas[name],
                graph.processes[name],
                graph.restarts[name],
                resources=place.resources,
                group=place.group,
            )
    for e in graph.edges:
        sender = replay.port("out") if from_port(e.sender) else e.sender
        ends = {end.block.name for end in (sender, e.receiver) if end is not None}
        if ends & left_out:
            continue
        if sender is not None and e.receiver is not None:
            new.connect(sender, e.receiver, policy=e.policy, credit=e.credit, depth=e.depth, durable=e.durable)
        elif sender is not None:
            new.listen(
                sender, e.endpoint, policy=e.policy, depth=e.depth, curve=e.curve, reconnect=e.reconnect_s,
                durable=e.durable,
            )  # fmt: skip
        elif e.receiver is not None:
            seconds = {"connect_timeout": e.connect_timeout_s, "reconnect": e.reconnect_s}
            new.dial(e.endpoint, e.receiver, credit=e.credit, curve=e.curve, durable=e.durable, **seconds)
    return new
