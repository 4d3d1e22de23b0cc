"""What non-uniform quantization costs over uniform: quantization time, time of the whole link, peak memory."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tools.bench_parts.report import Column, Goal, Result, Table, ratio
from tools.bench_parts.workers import call

SIZES = (32, 64, 128, 256)
PIPELINE_SIZE = 128
KINDS = ("uniform", "non-uniform")
PAPER_TIME, PAPER_MEMORY = 1.12, 1.076


def measure(quick: bool) -> Result:
    """Frame by frame in one process, uniform and non-uniform in turn; then whole flowgraphs in fresh processes."""
    rows: list[dict[str, Any]] = []
    runs: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for i in range(1 if quick else 4):
        for kind in KINDS:
            sizes = SIZES[: 2 if quick else None] if i == 0 and kind == KINDS[0] else ()
            arguments = {"uniform": kind == "uniform", "frames": 8 if quick else 150, "repeats": 4 if quick else 80}
            runs[kind].append(call("overhead:work", timeout_s=600, sizes=sizes, **arguments))
            rows += runs[kind][-1]["serial"]
    for what, unit in (("link, flowgraph, a frame", "ms"), ("peak memory of the link", "MiB")):
        values = {kind: median(run[unit] for run in runs[kind]) for kind in KINDS}
        row = {"what": what, "size": PIPELINE_SIZE, "unit": unit, **values}
        rows.append(row | {"ratio": ratio(values["non-uniform"], values["uniform"])})
    columns = [
        Column("what"), Column("size", "pixels", 0), Column("unit"), Column("uniform"), Column("non-uniform"),
        Column("ratio", "", 3),
    ]  # fmt: skip
    notes = [
        "Non-uniform: contribution classifier and optimal allocation with a class a channel, 3 bits a feature both. "
        f"Medians of alternating repeats; one frame after another except in the flowgraph. The paper: {PAPER_TIME} in "
        f"time, {PAPER_MEMORY} in memory."
    ]
    keys = ("what", "size", "unit", "uniform", "non-uniform", "ratio")
    table = Table("Non-uniform against uniform", columns, [[row[k] for k in keys] for row in rows], notes)
    link = [row for row in rows if row["what"].startswith("link")]
    goals = [Goal(f"{row['what']}, {row['size']} pixels, non-uniform/uniform", "", 1.05, row["ratio"]) for row in link]
    return Result(rows, [table], goals)


def serial(sizes: list[int], repeats: int) -> list[dict[str, Any]]:
    """Time of quantization, and of all blocks, a frame, without the runtime."""
    if not sizes:
        return []
    from blocks import (
        ContributionClassifier,
        Dequantizer,
        FadingChannel,
        NonUniformQuantizer,
        PowerNormalizer,
        SwinDecoder,
        SwinEncoder,
        UniformQuantizer,
    )
    from semstream.data.photographs import open_photographs
    from semstream.runtime import Block, Frame
    from tools.bench_parts.link import BITS, SNR_DB

    encoder = SwinEncoder()
    quantizers: dict[str, list[Block]] = {
        "uniform": [UniformQuantizer(bits=BITS)],
        "non-uniform": [ContributionClassifier(), NonUniformQuantizer(bits=BITS, design_snr_db=SNR_DB)],
    }
    rest: list[Block] = [PowerNormalizer(), FadingChannel(snr_db=SNR_DB), Dequantizer(), SwinDecoder()]
    for block in (encoder, *quantizers["uniform"], *quantizers["non-uniform"], *rest):
        block.start()
    rows = []
    for size in sizes:
        window = open_photographs((size, size))
        times: dict[tuple[str, str], list[float]] = {
            (what, kind): [] for what in ("quantize", "link") for kind in KINDS
        }
        for i in range(repeats + 2):
            picture = Frame({"image": window.frame(i)}, seq=i)
            encoding, features = timed([encoder], picture)  # the same for both
            for kind in KINDS if i % 2 else KINDS[::-1]:
                quantizing, codes = timed(quantizers[kind], features)
                after, _ = timed(rest, codes)
                if i >= 2:
                    times["quantize", kind].append(quantizing)
                    times["link", kind].append(encoding + quantizing + after)
        for what, label in (("quantize", "quantization, serial, a frame"), ("link", "link, serial, a frame")):
            values = {kind: 1e3 * median(times[what, kind]) for kind in KINDS}
            row = {"what": label, "size": size, "unit": "ms", **values}
            rows.append(row | {"ratio": ratio(values["non-uniform"], values["uniform"])})
    return rows


def timed(blocks: Sequence[Any], frame: Any) -> tuple[float, Any]:
    """Seconds that blocks take for a frame one after another, and their output with its tags."""
    begin = time.perf_counter()
    for block in blocks:
        out = block.process(frame)
        out.tags, out.seq = {**frame.tags, **out.tags}, frame.seq
        frame = out
    return time.perf_counter() - begin, frame


def work(uniform: bool, frames: int, sizes: list[int], repeats: int) -> dict[str, Any]:
    """Worker: time a frame and peak memory of a flowgraph with the whole link; then `serial`."""
    from tools.bench_parts.link import per_second, wire

    run = wire(PIPELINE_SIZE, frames, uniform=uniform).run(timeout=500)
    return {"ms": 1e3 / per_second(run), "MiB": peak_mib(), "serial": serial(sizes, repeats)}


def peak_mib() -> float:
    """Most memory that this process has held, in MiB."""
    try:
        # Not getrusage: its peak counts what the parent held when it forked.
        status = Path("/proc/self/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 2**10
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
