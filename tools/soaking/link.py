"""Worker of a soak: the link of `flowgraphs/awgn_link.py`, without end, watched by a viewer that asks once a second.

    python -m tools.soaking.link ENGINE SIZE

Writes a line of JSON, ``{"records": n}``, each second while it runs, and one of how it ended. It ends when its standard
input does.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ENDLESS = 10**9
HOLD = 50
"""Frames at each SNR."""
STOP_S = 60.0


def main(engine: str, size: int) -> int:
    """Run until the end of standard input; 1 after a failure."""
    sys.path.insert(0, str(ROOT / "flowgraphs"))
    from awgn_link import flowgraph

    from blocks.probe import add_probes
    from semstream.monitor.client import MonitorClient
    from semstream.monitor.service import MonitorService
    from semstream.runtime import FlowgraphError
    from semstream.runtime.files.overrides import assign

    graph = flowgraph(frames=ENDLESS, size=size)
    assign(graph, "*", "lpips", "off")
    assign(graph, "*", "hold", str(HOLD))
    add_probes(graph)
    leave = threading.Event()
    threading.Thread(target=_until_end_of_input, args=(leave,), daemon=True).start()
    records = [0]

    def count(block: str, record: dict[str, Any]) -> None:
        records[0] += 1

    run = graph.start(engine, count)
    with MonitorService(run, walk_s=5.0) as service, MonitorClient(service.endpoint) as viewer:
        while not (leave.wait(1.0) or run.finished):
            viewer.snapshot()
            _say(records=records[0])
        run.stop(wait=False)
    with contextlib.suppress(FlowgraphError):  # said below; a machine that is full takes its time to stop
        run.wait(STOP_S)
    counters = run.counters()
    drops = sum(sum(edge["drops"].values()) for name, edge in counters["edges"].items() if edge["policy"] == "block")
    bad = sum(sum(block["bad"].values()) for block in counters["blocks"].values())
    _say(records=records[0], seconds=run.duration, failure=str(run.failure or ""), drops=drops, bad=bad)
    return int(run.failure is not None)


def _until_end_of_input(leave: threading.Event) -> None:
    sys.stdin.read()
    leave.set()


def _say(**values: Any) -> None:
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], int(sys.argv[2])))
