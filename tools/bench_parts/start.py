"""From the command to the first picture, and the memory of all processes: the link of `flowgraphs/awgn_link.py`."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tools.bench_parts.report import Column, Goal, Result, Table
from tools.bench_parts.workers import ROOT, WorkerError

ENGINES = ("threads", "processes")
GOALS_S = {"threads": 3.0, "processes": 5.0}
PSS_GIB = 2.0


def measure(quick: bool) -> Result:
    """Start the link under each engine, in turns."""
    turns = 1 if quick else 3
    samples = {engine: [_start(engine) for _ in range(turns)] for engine in ENGINES}
    rows: list[dict[str, Any]] = [
        {"engine": engine} | {key: statistics.median(s[key] for s in of) for key in of[0]}
        for engine, of in samples.items()
    ]
    columns = [
        Column("engine"), Column("blocks", "", 0), Column("all run", "s", 2), Column("first picture", "s", 2),
        Column("PSS of all processes", "GiB", 2),
    ]  # fmt: skip
    note = "Seconds since the interpreter was started; PSS at its highest after the first picture; median of the turns."
    goals = [Goal(f"{r['engine']}: all blocks run", "s", GOALS_S[r["engine"]], r["running_s"]) for r in rows]
    goals.append(Goal("processes: memory (PSS)", "GiB", PSS_GIB, rows[1]["pss_gib"]))
    return Result(rows, [Table("Start of awgn_link.py", columns, [list(r.values()) for r in rows], [note])], goals)


def _start(engine: str) -> dict[str, float]:
    begun = time.time()
    command = [sys.executable, "-m", __name__, engine, str(begun)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise WorkerError(done.stderr.strip().rpartition("\n")[2])
    result: dict[str, float] = json.loads(done.stdout.strip().rpartition("\n")[2])
    return result


def main(engine: str, begun: float) -> None:
    """Worker: run the link until some pictures have arrived."""
    sys.path.insert(0, str(ROOT / "flowgraphs"))
    from awgn_link import flowgraph

    from semstream.runtime.files.overrides import assign

    graph = flowgraph(frames=10**6)
    assign(graph, "*", "lpips", "off")
    first = threading.Event()
    run = graph.start(engine, lambda block, record: first.set())
    pause = threading.Event()
    while not run.duration and not run.finished:
        pause.wait(0.005)
    running_s = time.time() - begun
    first.wait(60)
    first_s = time.time() - begun
    pss = max(_pss_gib() for _ in range(20) if not pause.wait(0.1))
    run.stop()
    print(json.dumps({"blocks": len(graph.blocks), "running_s": running_s, "first_s": first_s, "pss_gib": pss}))


def _pss_gib() -> float:
    """Proportional set size of this process and all that it has started, however far down."""
    parents, pss = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            lines = (folder / "smaps_rollup").read_text().splitlines()
            pss[int(folder.name)] = next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
        except OSError:
            continue
    mine = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in mine} - mine:
        mine |= more
    return sum(pss.get(pid, 0) for pid in mine) / 2**20


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
