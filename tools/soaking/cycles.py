"""Worker of a soak: a small flowgraph, started and stopped again and again in one process.

    python -m tools.soaking.cycles ENGINE CYCLES

Every second cycle is stopped in the middle, the others come to their end. After each the process must be as it was
after the first few: threads, descriptors, children, shared memory, files. Writes a line of JSON a cycle.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from tools.soaking import processes

FRAMES = 20
SIZE = 160
"""Pixels a side: a picture then takes 77 kB, and goes through shared memory between processes."""
SETTLE_S = 2.0


def small_graph(endless: bool) -> Any:
    """A source, a fan-out and a join, with records."""
    import blocks as b
    from semstream.runtime import Flowgraph

    graph = Flowgraph("cycle", seed=1)
    source = b.ImageSource(size=SIZE, frames=0 if endless else FRAMES)
    sweep, sink = b.SnrSweep(), b.MetricSink(ms_ssim=False, lpips="off")
    graph.connect(source, sweep, sink.reconstruction)
    graph.connect(source, sink.reference)
    return graph


def held() -> dict[str, int]:
    """What this process holds, and what it has left in its temporary folder and in ``/dev/shm``."""
    pid = os.getpid()
    return {
        "threads": processes.threads_of(pid),
        "descriptors": processes.descriptors_of(pid),
        "children": len(processes.family(pid)) - 1,
        "entries": processes.entries(Path(tempfile.gettempdir())),
        "segments": len(processes.shared_names()),
    }


def one(engine: str, stopped: bool) -> dict[str, Any]:
    """One cycle: how long it took, how long its start and its stop, and what it gave."""
    begin = time.monotonic()
    run = small_graph(endless=stopped).start(engine)
    first = threading.Event()
    while not run.records["metric_sink"] and not run.finished:
        first.wait(0.002)
    up = time.monotonic()
    if stopped:
        run.stop()
    run.wait(30)
    end = time.monotonic()
    return {
        "seconds": end - begin,
        "start_s": up - begin,
        "end_s": end - up,
        "records": len(run.records["metric_sink"]),
        "finished": run.finished and run.failure is None,
    }


def main(engine: str, cycles: int) -> int:
    """Run the cycles, each followed by a look at what is left."""
    before: dict[str, int] = {}
    for number in range(cycles):
        told = one(engine, stopped=number % 2 == 1)
        gc.collect()
        left = held()
        patience = time.monotonic() + SETTLE_S
        while before and left != before and time.monotonic() < patience:  # the system may still be reaping
            time.sleep(0.01)
            left = held()
        # What a library makes once, at its first use, is no leak.
        before = left if number < 2 else before
        grown = {name: left[name] - before[name] for name in left if left[name] > before[name]}
        memory = processes.resident_mib(os.getpid()) if number % 10 == 0 else None
        print(json.dumps({"cycle": number, **told, "left": grown, "memory_mib": memory}), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], int(sys.argv[2])))
