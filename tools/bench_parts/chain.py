"""A chain of pass-through blocks: what each block between source and sink costs, in threads and in processes."""

from __future__ import annotations

from typing import Any

from tools.bench_parts.report import Column, Result, Table
from tools.bench_parts.traffic import Phase
from tools.bench_parts.workers import call

SIZE = 262_144
LENGTHS = (1, 5, 10)
ENGINES = ("threads", "processes")


def measure(quick: bool) -> Result:
    """Frames of 256 kB through 1, 5 and 10 blocks at the default credit of 2: lone frames, then a flood."""
    lone = Phase(SIZE, 20, 0.005, 0) if quick else Phase(SIZE, 200, 0.02, 0)
    schedule = [lone, Phase(SIZE, 0, 0, 0.2 if quick else 3.0)]
    rows: list[dict[str, Any]] = []
    notes = [f"{SIZE} bytes a frame, credit 2. n blocks are n + 1 hops. Age at the sink, from the source's stamp."]
    for engine in ENGINES:
        lengths = LENGTHS[:2] if quick and engine == "processes" else LENGTHS
        runs = [{"schedule": schedule, "credit": 2, "passes": passes} for passes in lengths]
        for passes, tally in zip(lengths, call("edge_ours:run_chains", runs=runs, engine=engine), strict=True):
            alone, flooded = tally["0"], tally["1"]
            rows.append(
                {
                    "engine": engine,
                    "blocks": passes,
                    "per_s": flooded["per_s"],
                    "lone_p50_ms": alone["p50_us"] / 1e3,
                    "lone_p99_ms": alone["p99_us"] / 1e3,
                    "flood_p50_ms": flooded["p50_us"] / 1e3,
                    "flood_max_ms": flooded["max_us"] / 1e3,
                }
            )
    columns = [
        Column("engine"),
        Column("blocks", "", 0),
        Column("throughput", "frames/s"),
        Column("lone frame's age p50", "ms"),
        Column("p99", "ms"),
        Column("age in the flood p50", "ms"),
        Column("max", "ms"),
    ]
    return Result(rows, [Table("Chain of pass-through blocks", columns, [list(r.values()) for r in rows], notes)])
