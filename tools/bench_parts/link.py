"""The link: work time of each block, frames a second, and end-to-end latency, at several picture sizes."""

from __future__ import annotations

from typing import Any

import numpy as np

from blocks import (
    ContributionClassifier,
    Dequantizer,
    FadingChannel,
    ImageSource,
    MetricSink,
    NonUniformQuantizer,
    PowerNormalizer,
    SwinDecoder,
    SwinEncoder,
    UniformQuantizer,
)
from semstream.runtime import Block, Flowgraph, Run
from tools.bench_parts.report import Cell, Column, Result, Table
from tools.bench_parts.workers import call

SIZES = (32, 64, 128, 256)
BITS = 3.0
SNR_DB = 10.0
PACE = 0.5


def measure(quick: bool) -> Result:
    """Run the worker and make the tables."""
    rows = call("link:work", timeout_s=900, most=6 if quick else 100, seconds=1 if quick else 12)
    names = list(rows[0]["work_p50_ms"])
    columns = [Column("block"), *(Column(f"{row['size']}×{row['size']}", "ms", 2) for row in rows)]
    cells: list[list[Cell]] = [[name, *(row["work_p50_ms"][name] for row in rows)] for name in names]
    cells.append(["all blocks", *(sum(row["work_p50_ms"].values()) for row in rows)])
    work = Table(
        "Link: work time of each block, p50",
        columns,
        cells,
        [f"From the counters of the paced run, where a frame has the link to itself. AWGN {SNR_DB:g} dB, {BITS:g} bits "
         "a feature, optimal allocation, engine threads, one PyTorch thread; the sink measures PSNR alone."],
    )  # fmt: skip
    for row in rows:
        row["all_work_p50_ms"] = sum(value for name, value in row["work_p50_ms"].items() if name != "metric_sink")
    keys = ("size", "per_s", "flood_latency_p50_ms", "paced_fps", "latency_p50_ms", "latency_p99_ms", "all_work_p50_ms")
    speed = Table(
        "Link: speed end to end",
        [
            Column("size", "pixels", 0),
            Column("throughput", "frames/s", 1),
            Column("latency in the flood p50", "ms", 1),
            Column("pace", "frames/s", 1),
            Column("latency at this pace p50", "ms", 2),
            Column("p99", "ms", 2),
            Column("work of the blocks up to the sink", "ms", 2),
        ],
        [[row[key] for key in keys] for row in rows],
        [f"Pace: {PACE:g} of the throughput. Latency: from the source to the metric sink."],
    )  # fmt: skip
    return Result(rows, [work, speed])


def wire(size: int, frames: int, fps: float = 0.0, uniform: bool = False) -> Flowgraph:
    """The link as one chain with one sink."""
    graph = Flowgraph("link", seed=1)
    source, sink = ImageSource(size=size, frames=frames, fps=fps), MetricSink(ms_ssim=False, lpips="off")
    quantize: list[Block] = (
        [UniformQuantizer(bits=BITS)]
        if uniform
        else [ContributionClassifier(), NonUniformQuantizer(bits=BITS, design_snr_db=SNR_DB)]
    )
    air = FadingChannel(snr_db=SNR_DB)
    graph.connect(
        source, SwinEncoder(), *quantize, PowerNormalizer(), air, Dequantizer(), SwinDecoder(), sink.reconstruction
    )
    graph.connect(source, sink.reference)
    return graph


def work(most: int, seconds: float) -> list[dict[str, Any]]:
    """Worker: at each size a flood, then a paced run, of `most` frames or about `seconds`."""
    rows = []
    wire(SIZES[0], 3).run(timeout=300)  # warm-up: PyTorch and the runtime are loaded
    rate = float(most)
    for size in SIZES:
        # A picture four times as large takes about four times as long.
        flood = wire(size, max(5, min(most, int(rate / 4 * seconds)))).run(timeout=300)
        rate = per_second(flood)
        pace = PACE * rate
        paced = wire(size, max(3, min(most, int(pace * seconds))), fps=pace).run(timeout=300)
        blocks = paced.counters()["blocks"]
        work_ms = {name: block["work"]["p50"] for name, block in blocks.items() if name != "image_source"}
        latency = np.array([record["latency_ms"] for record in paced.records["metric_sink"]])
        rows.append(
            {
                "size": size,
                "work_p50_ms": work_ms,
                "per_s": rate,
                "flood_latency_p50_ms": latency_p50(flood),
                "paced_fps": pace,
                "latency_p50_ms": float(np.percentile(latency, 50)),
                "latency_p99_ms": float(np.percentile(latency, 99)),
            }
        )
    return rows


def per_second(run: Run) -> float:
    """Frames a second at the sink, without the first fifth."""
    done = sorted(record["completed_ns"] for record in run.records["metric_sink"])
    done = done[len(done) // 5 :]
    return (len(done) - 1) / ((done[-1] - done[0]) / 1e9)


def latency_p50(run: Run) -> float:
    """Median of the latency from source to sink in ms."""
    return float(np.median([record["latency_ms"] for record in run.records["metric_sink"]]))
