"""Flowgraphs whose processes are killed while they run, and what must come of them all the same."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from semstream.runtime import ArraySpec, Block, Flowgraph, Frame, In, Out, PortType, Run, SkipFrame, setting

Number = PortType("Number", {"x": ArraySpec("int64", (1,))})
TIMES = ("latency_ms", "completed_ns", "age_ms")
"""What a record says of the clock: no two runs agree on it."""


class Count(Block):
    """Source of the numbers from 0; leaves out those that end in 7."""

    out = Out(Number)

    class Settings(Block.Settings):
        count: int = setting(1000, ge=0, description="numbers in all")

    def frames(self) -> Iterator[Frame]:
        for i in range(self.settings.count):
            if i % 10 == 7:
                self.skip("seven")
            else:
                yield Frame({"x": np.array([i])}, tags={"i": i})


class Accumulate(Block):
    """Gives the sum of all that came: its state is the sum."""

    number = In(Number)
    total = Out(Number)
    state = ("_sum",)

    def start(self) -> None:
        self._sum = 0

    def process(self, frame: Frame) -> Frame:
        self._sum += int(frame["x"][0])
        return Frame({"x": np.array([self._sum])})


class Halve(Block):
    """Leaves out what does not halve; without state, so that it may have replicas."""

    number = In(Number)
    half = Out(Number)

    def process(self, frame: Frame) -> Frame:
        if frame["x"][0] % 3 == 2:
            raise SkipFrame("third")
        return Frame({"x": frame["x"] // 2})


class Pairs(Block):
    """One number of two, numbered anew."""

    renumber = True
    number = In(Number)
    pair = Out(Number)
    state = ("_first",)

    def start(self) -> None:
        self._first: int | None = None

    def process(self, frame: Frame) -> Frame | None:
        if self._first is None:
            self._first = int(frame["x"][0])
            return None
        first, self._first = self._first, None
        return Frame({"x": frame["x"] + first})


class Check(Block):
    """Publishes what it gets on both ways."""

    straight = In(Number)
    halved = In(Number)

    def process(self, straight: Frame, halved: Frame) -> None:
        self.publish({"seq": straight.seq, "straight": int(straight["x"][0]), "halved": int(halved["x"][0])})


class Keep(Block):
    """Publishes what it gets."""

    number = In(Number)

    def process(self, frame: Frame) -> None:
        self.publish({"seq": frame.seq, "x": int(frame["x"][0])})


def small(frames: int, durable: bool | str = True, **options: Any) -> Flowgraph:
    """State, replicas, a join, skips and a block that renumbers, on frames of 8 bytes."""
    graph = Flowgraph("crashes", seed=1, durable=durable, restart_limit=100, **options)
    source, total, check = Count(count=frames), Accumulate(), Check()
    halve = graph.add(Halve(), replicas=2)
    graph.connect(source, total, halve, check.halved, credit=8)
    graph.connect(source, check.straight, credit=8)
    graph.connect(total, Pairs(), Keep(), credit=8)
    return graph


class Killing(NamedTuple):
    """What was done to a run."""

    run: Run
    killed: dict[str, int]
    seconds: float


def killed(graph: Flowgraph, sink: str, kills: int, records: int, seed: int, timeout: float = 3600.0) -> Killing:
    """Run a flowgraph under the engine ``processes`` and kill a random node at each of `kills` random moments.

    Parameters
    ----------
    sink
        Block whose records tell how far the run has come.
    records
        How many it will publish.

    Raises
    ------
    FlowgraphError
        If the run fails.
    """
    begin = time.monotonic()
    run = graph.start(engine="processes")
    conductor = run._conductor
    generator = random.Random(seed)
    moments = sorted(generator.sample(range(records), kills))
    counts: dict[str, int] = {}
    while moments and not run.finished and time.monotonic() < begin + timeout:
        running = [node for node, state in conductor._state.items() if state == "running"]
        if len(run.records[sink]) < moments[0] or not running or not conductor._went_at:
            time.sleep(0.001)
            continue
        victim = generator.choice(running)
        conductor.engine.abandon(victim)
        counts[victim] = counts.get(victim, 0) + 1
        del moments[0]
    run.wait(max(1.0, begin + timeout - time.monotonic()))
    return Killing(run, counts, time.monotonic() - begin)


def timeless(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Records without what they say of the clock."""
    return [{name: value for name, value in record.items() if name not in TIMES} for record in records]
