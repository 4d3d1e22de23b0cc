"""Replicas of the encoder: frames a second against their number, in processes of this machine and on Ray."""

from __future__ import annotations

import importlib.util
import os
import time
from typing import Any

from blocks import ImageSource, SwinEncoder
from semstream.runtime import ANY, Block, Flowgraph, Frame, In
from tools.bench_parts.report import Column, Result, Table
from tools.bench_parts.workers import call

SIZE = 256
COUNTS = (1, 2, 3, 4)


class Tally(Block):
    """Sink: publishes when each frame came."""

    frame = In(ANY)

    def process(self, frame: Frame) -> None:
        self.publish({"seq": frame.seq, "at_ns": time.time_ns()})


def measure(quick: bool) -> Result:
    """Run each engine's worker and make the table."""
    engines = ["processes", *(["ray"] if importlib.util.find_spec("ray") else [])]
    counts = COUNTS[:2] if quick else COUNTS
    rows: list[dict[str, Any]] = []
    for engine in engines:
        rows += call("replicas:work", timeout_s=600, engine=engine, counts=list(counts), frames=6 if quick else 40)
    columns = [
        Column("engine"), Column("encoders", "", 0), Column("throughput", "frames/s", 2), Column("over one", "", 2),
        Column("p50 of an encoder's work", "ms", 1),
    ]  # fmt: skip
    keys = ("engine", "replicas", "per_s", "gain", "work_p50_ms")
    note = f"Pictures of {SIZE}×{SIZE}, one thread an encoder, source and sink in one process; {os.cpu_count()} cores."
    if len(engines) == 1:
        note += " Ray is not installed."
    cells = [[row[key] for key in keys] for row in rows]
    return Result(rows, [Table("Replicas of the encoder", columns, cells, [note])])


def wire(replicas: int, frames: int) -> Flowgraph:
    """Source, encoders side by side, sink."""
    graph = Flowgraph("replicas", seed=1, credit=2)
    source = graph.add(ImageSource(size=SIZE, frames=frames), process="ends")
    encoder = graph.add(SwinEncoder(precision="fp32"), replicas=replicas)
    graph.connect(source, encoder, graph.add(Tally(), process="ends"))
    return graph


def work(engine: str, counts: list[int], frames: int) -> list[dict[str, Any]]:
    """Worker: one run for each number of encoders."""
    if engine == "ray":
        from semstream.runtime.engines.cluster.joining import join

        join(None, {})  # one cluster for all runs
    rows: list[dict[str, Any]] = []
    for replicas in counts:
        run = wire(replicas, frames * replicas if replicas < 3 else frames * 2).run(engine, timeout=400)
        done = sorted(record["at_ns"] for record in run.records["tally"])
        done = done[len(done) // 5 :]
        per_s = (len(done) - 1) / ((done[-1] - done[0]) / 1e9)
        work_ms = run.counters()["blocks"]["swin_encoder"]["work"]["p50"]
        rows.append({"engine": engine, "replicas": replicas, "per_s": per_s, "work_p50_ms": work_ms})
        rows[-1]["gain"] = per_s / rows[0]["per_s"]
    return rows
