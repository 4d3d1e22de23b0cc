"""Frame age behind a slow consumer: credit bounds what is under way, a high-water mark does not."""

from __future__ import annotations

from typing import Any

from tools.bench_parts.report import Column, Goal, Result, Table
from tools.bench_parts.traffic import Phase
from tools.bench_parts.workers import call_pair, free_port

SIZE = 16_384
WORK_S = 0.01
CREDITS = (1, 2, 8)


def measure(quick: bool) -> Result:
    """A source as fast as its edge lets it, over tcp between two processes, and a consumer of 10 ms a frame."""
    schedule = [Phase(SIZE, 0, 0, 0.5 if quick else 5.0)]
    notes = [
        f"{SIZE} bytes a frame, tcp on loopback, two processes. Age when the consumer takes the frame. With PUSH/PULL "
        "the kernel's socket buffers hold what the high-water mark does not count."
    ]
    runs = [{"schedule": schedule, "port": free_port(), "credit": credit, "work_s": WORK_S} for credit in CREDITS]
    tallies = call_pair("edge_ours:run_senders", "edge_ours:run_receivers", runs=runs)
    labels = [f"ours, credit {credit}" for credit in CREDITS]
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    arguments: dict[str, Any] = {"schedule": schedule, "endpoint": endpoint, "hwm": 1, "work_s": WORK_S}
    tallies.append(call_pair("edge_zmq:run_sender", "edge_zmq:run_receiver", **arguments))
    rows: list[dict[str, Any]] = [
        {"edge": label, "p50_ms": t["0"]["p50_us"] / 1e3, "max_ms": t["0"]["max_us"] / 1e3, "per_s": t["0"]["per_s"]}
        for label, t in zip([*labels, "pyzmq, PUSH/PULL, HWM 1"], tallies, strict=True)
    ]
    columns = [Column("edge"), Column("p50", "ms"), Column("max", "ms"), Column("rate", "frames/s")]
    cells = [list(row.values()) for row in rows]
    goal = Goal("age behind a 10 ms consumer at credit 2, oldest frame", "ms", 50, rows[CREDITS.index(2)]["max_ms"])
    return Result(rows, [Table("Frame age behind a consumer of 10 ms a frame", columns, cells, notes)], [goal])
