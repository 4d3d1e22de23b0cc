"""What watching costs: the link's frames a second alone, and with probes, service, page and five browsers on it."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tools.bench_parts.link import wire
from tools.bench_parts.report import Column, Goal, Result, Table
from tools.bench_parts.workers import ROOT, call

SIZE = 128
BROWSERS = 5


def measure(quick: bool) -> Result:
    """Run the worker and make the table."""
    rows = call("monitor:work", timeout_s=900, frames=12 if quick else 150, turns=1 if quick else 5)
    ratio = statistics.median(row["watched_per_s"] / row["alone_per_s"] for row in rows)
    columns = [
        Column("turn", "", 0), Column("alone", "frames/s", 2), Column("watched", "frames/s", 2), Column("ratio"),
        Column("link's processor time alone", "ms/frame", 1), Column("watched", "ms/frame", 1),
        Column("page's", "% of a core", 1), Column("updates", "1/s", 1),
    ]  # fmt: skip
    cells = [
        [i, row["alone_per_s"], row["watched_per_s"], row["watched_per_s"] / row["alone_per_s"],
         row["alone_cpu_ms"], row["watched_cpu_ms"], row["page_percent"], row["updates_per_s"]]
        for i, row in enumerate(rows)
    ]  # fmt: skip
    table = Table(
        f"Watching: link of {SIZE}×{SIZE} pixels", columns, cells,
        [f"Watched: probes in the flowgraph, the monitor service, its page, and {BROWSERS} sessions that take all it "
         "sends, in a process of their own; what browsers need to draw is not in it. The two take turns."],
    )  # fmt: skip
    goal = Goal("link with page and five browsers, of its rate alone, median of the turns", "", 0.95, ratio, False)
    return Result(rows, [table], [goal])


def work(frames: int, turns: int) -> list[dict[str, Any]]:
    """Worker: turns of the link alone and the link watched."""
    wire(SIZE, 3).run(timeout=300)
    return [_alone(frames) | _watched(frames) for _ in range(turns)]


def _alone(frames: int) -> dict[str, float]:
    run = wire(SIZE, frames).start()
    rate, cpu = _rate(run, frames)
    return {"alone_per_s": rate, "alone_cpu_ms": cpu}


def _watched(frames: int) -> dict[str, float]:
    from blocks.probe import add_probes
    from semstream.monitor.service import MonitorService
    from semstream.monitor.watched import start_page

    graph = wire(SIZE, frames)
    add_probes(graph)
    run = graph.start()
    with MonitorService(run) as service:
        page = start_page(service, 0)
        command = [sys.executable, "-m", "tools.bench_parts.browsers", page.address, str(BROWSERS)]
        browsers = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        begin, before = time.monotonic(), _seconds_of(page.process.pid)
        rate, cpu = _rate(run, frames)
        seconds, used = time.monotonic() - begin, _seconds_of(page.process.pid) - before
        taken = json.loads(browsers.communicate("")[0])
        page.close()
    return {
        "watched_per_s": rate, "watched_cpu_ms": cpu, "page_percent": 100 * used / seconds,
        "updates_per_s": taken["messages"] / BROWSERS / seconds,
    }  # fmt: skip


def _rate(run: Any, frames: int) -> tuple[float, float]:
    """Frames a second and processor time a frame in ms of this process, from the first fifth of the frames to the last.

    Until then a page is loading and browsers come, once a run.
    """
    records, skipped = run.records["metric_sink"], frames // 5
    while len(records) <= skipped and not run.finished:
        time.sleep(0.01)
    begin = _own_seconds()
    run.wait(600)
    times = sorted(record["completed_ns"] for record in records)[skipped:]
    rate = (len(times) - 1) / ((times[-1] - times[0]) / 1e9)
    return rate, (_own_seconds() - begin) / (len(times) - 1) * 1e3


def _own_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _seconds_of(process: int) -> float:
    """Processor time of another process, from Linux's /proc; 0 elsewhere."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / 100
