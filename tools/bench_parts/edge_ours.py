"""Our edges under the bench's traffic: blocks, and workers that run them over inproc, ipc and tcp."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from semstream.runtime import ArraySpec, Block, Flowgraph, Frame, In, Out, PortType, setting
from tools.bench_parts.traffic import Tally, content, emissions, phases

Bytes = PortType("Bytes", {"data": ArraySpec("uint8", ("N",))})

TIMEOUT_S = 120.0
Plain = list[tuple[int, int, float, float]]


class Traffic(Block):
    """Source: a schedule of traffic; the stream of a frame names its phase."""

    out = Out(Bytes)

    class Settings(Block.Settings):
        schedule: Plain = setting(description="phases (size, pings, interval_s, flood_s)")

    def frames(self) -> Iterator[Frame]:
        for index, phase in enumerate(phases(self.settings.schedule)):
            data, stream = content(phase.size), str(index)
            for _ in emissions(phase):
                yield Frame({"data": data}, stream=stream)


class Pass(Block):
    """Passes every frame on as it is."""

    into = In(Bytes)
    out = Out(Bytes)

    def process(self, frame: Frame) -> Frame:
        return frame


class Meter(Block):
    """Sink: times what arrives, then works for `work_s`; publishes the tally at the end."""

    data = In(Bytes)

    class Settings(Block.Settings):
        work_s: float = setting(0.0, ge=0, unit="s", description="time that each frame takes")

    def start(self) -> None:
        self._tally = Tally()

    def process(self, frame: Frame) -> None:
        self._tally.add(int(frame.stream), frame.t0_ns, frame["data"])
        if self.settings.work_s:
            time.sleep(self.settings.work_s)

    def stop(self) -> None:
        self.publish(self._tally.result())


def run_chains(runs: list[dict[str, Any]], engine: str) -> list[dict[str, Any]]:
    """One flowgraph after another: source, `passes` pass-through blocks, sink. The tallies.

    Each run has a ``schedule``, a ``credit``, and optionally ``passes``.
    """
    tallies = []
    for run in runs:
        graph = Flowgraph("bench")
        passes = [Pass() for _ in range(run.get("passes", 0))]
        graph.connect(Traffic(schedule=run["schedule"]), *passes, Meter(name="meter"), credit=run["credit"])
        tallies.append(graph.run(engine, timeout=TIMEOUT_S).records["meter"][0])
    return tallies


def run_senders(runs: list[dict[str, Any]]) -> None:
    """The sending flowgraph of each run; ``port`` says where it listens."""
    for run in runs:
        graph = Flowgraph("bench-sender")
        graph.listen(graph.add(Traffic(schedule=run["schedule"])), f"tcp://127.0.0.1:{run['port']}")
        graph.run(timeout=TIMEOUT_S)


def run_receivers(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The receiving flowgraph of each run, with its ``credit`` and the ``work_s`` of its sink. The tallies."""
    tallies = []
    for run in runs:
        graph = Flowgraph("bench-receiver")
        meter = graph.add(Meter(name="meter", work_s=run.get("work_s", 0.0)))
        graph.dial(f"tcp://127.0.0.1:{run['port']}", meter, credit=run["credit"])
        tallies.append(graph.run(timeout=TIMEOUT_S).records["meter"][0])
    return tallies
