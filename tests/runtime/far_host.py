"""One host of a graph, as a command: ``far_host.py HOST JSON``. Prints a line a record, and its counters at the end."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from runtime_blocks import Samples

from semstream.runtime import Block, Flowgraph, FlowgraphError, Frame, In, Out, setting


class Camera(Block):
    """Source in real time: a frame every so often, and none is made up for."""

    out = Out(Samples)

    class Settings(Block.Settings):
        count: int = setting(100)
        size: int = setting(8192)
        every_s: float = setting(0.04, unit="s")

    def frames(self) -> Iterator[Frame]:
        every = self.settings.every_s
        due = time.monotonic()
        for number in range(self.settings.count):
            due = max(due, time.monotonic() - every)
            if not self.pause(max(0.0, due - time.monotonic())):
                return
            due += every
            yield Frame({"x": np.full(self.settings.size, number, np.float32)}, tags={"made": time.monotonic_ns()})


class Screen(Block):
    """Publishes which frame it shows, and how old it is by the clock that all namespaces of a machine share."""

    samples = In(Samples)

    def process(self, frame: Frame) -> None:
        now = time.monotonic_ns()
        age_ms = (now - frame.tags["made"]) / 1e6
        self.publish(
            {"seq": frame.seq, "age_ms": age_ms, "at": now / 1e9, "t0_age_ms": (time.time_ns() - frame.t0_ns) / 1e6}
        )


def graph(
    tx: str, rx: str, port: int, keys: str, policy: str, credit: Any, durable: bool = False, **camera: Any
) -> Flowgraph:
    """A camera and a screen, each on a host of its own."""
    made = Flowgraph("far", policy=policy, credit=credit, durable=durable, restart="never")
    camera_, screen = Camera(name="camera", **camera), Screen(name="screen")
    made.connect(camera_, screen)
    made.host("tx", f"{tx}:{port}", camera_, patience=20.0)
    made.host("rx", f"{rx}:{port}", screen, patience=20.0)
    made.keys = keys
    return made


if __name__ == "__main__":
    options = json.loads(sys.argv[2])
    ahead, real = options.pop("tx_clock", 0), time.time_ns
    if ahead and sys.argv[1] == "tx":
        time.time_ns = lambda: real() + ahead * 10**9  # type: ignore[assignment]
    try:
        run = graph(**options).only(sys.argv[1]).run(on_record=lambda _, record: print(json.dumps(record), flush=True))
    except FlowgraphError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
    print(json.dumps(run.counters()["edges"]), flush=True)
