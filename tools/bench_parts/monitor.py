"""What watching costs: the link's frames a second alone, and with probes, service, page and five browsers on it."""

from __future__ import annotations

import re
import statistics
import threading
from typing import Any

from tools.bench_parts.link import wire
from tools.bench_parts.report import Column, Goal, Result, Table
from tools.bench_parts.workers import call

SIZE = 128
BROWSERS = 5


def measure(quick: bool) -> Result:
    """Run the worker and make the table."""
    rows = call("monitor:work", timeout_s=900, frames=12 if quick else 120, turns=1 if quick else 3)
    alone, watched = (statistics.median(row[name] for row in rows) for name in ("alone_per_s", "watched_per_s"))
    table = Table(
        f"Watching: link of {SIZE}×{SIZE} pixels",
        [Column("turn", "", 0), Column("alone", "frames/s", 2), Column("watched", "frames/s", 2), Column("ratio")],
        [[i, row["alone_per_s"], row["watched_per_s"], row["watched_per_s"] / row["alone_per_s"]]
         for i, row in enumerate(rows)],
        [f"Watched: probes in the flowgraph, the monitor service, its page at low priority, {BROWSERS} sessions open. "
         "The two take turns."],
    )  # fmt: skip
    goal = Goal("link with page and five browsers, of its rate alone", "", 0.97, watched / alone, below=False)
    return Result(rows, [table], [goal])


def work(frames: int, turns: int) -> list[dict[str, Any]]:
    """Worker: turns of the link alone and the link watched."""
    wire(SIZE, 3).run(timeout=300)
    return [{"alone_per_s": _rate(frames, False), "watched_per_s": _rate(frames, True)} for _ in range(turns)]


def _rate(frames: int, watch: bool) -> float:
    from blocks.probe import add_probes
    from semstream.monitor.service import MonitorService
    from semstream.monitor.watched import start_page

    graph = wire(SIZE, frames)
    if not watch:
        return _per_second(graph.run(timeout=600))
    add_probes(graph)
    run = graph.start()
    with MonitorService(run) as service:
        page = start_page(service, 0)
        found = re.search(r"http://\S+", page.address)
        assert found
        stop = threading.Event()
        browsers = [threading.Thread(target=_browse, args=(found.group(), stop), daemon=True) for _ in range(BROWSERS)]
        for browser in browsers:
            browser.start()
        run.wait(600)
        stop.set()
        page.close()
    return _per_second(run)


def _browse(address: str, stop: threading.Event) -> None:
    """A session that takes every update, as a browser does."""
    from bokeh.client import pull_session

    try:
        session = pull_session(url=address)
        while not stop.wait(0.1):
            session.force_roundtrip()
    except Exception:
        return  # the page has closed


def _per_second(run: Any) -> float:
    """Frames a second between the first and the last record, start-up left out."""
    times = sorted(record["completed_ns"] for records in run.records.values() for record in records)
    return (len(times) - 1) / ((times[-1] - times[0]) / 1e9)
