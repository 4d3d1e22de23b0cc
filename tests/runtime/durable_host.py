"""One host of a durable graph, as a command: ``durable_host.py HOST JSON``. Prints a line a record, and the end."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))

from runtime_blocks import Relay

from semstream.runtime import Flowgraph, FlowgraphError
from tools.bench_parts.crashes import Accumulate, Check, Count, Halve, Keep, Pairs

HOSTS = ("tx", "mid", "rx")


def graph(ports: list[int], count: int, seen_at: list[int] = (), **options: Any) -> Flowgraph:  # type: ignore[assignment]
    """State, replicas, a join over two ways, skips and a block that renumbers, on three hosts."""
    made = Flowgraph("spread", seed=1, restart_limit=100, **{"durable": True, **options})
    source, total, check, keep = Count(count=count), Accumulate(), Check(), Keep()
    halve, behind, pairs = made.add(Halve(), replicas=2), Relay(), Pairs()
    made.connect(source, total, halve, behind, check.halved, credit=8)
    made.connect(source, check.straight, credit=8)
    made.connect(total, pairs, keep, credit=8)
    for i, blocks in enumerate(((source,), (total, halve, behind, pairs), (check, keep))):
        made.host(HOSTS[i], f"127.0.0.1:{(seen_at or ports)[i]}", *blocks, listen=f"127.0.0.1:{ports[i]}", patience=20)
    return made


if __name__ == "__main__":
    options = json.loads(sys.argv[2])
    engine = options.pop("run_by", "processes")

    def say(block: str, record: dict[str, Any]) -> None:
        print(json.dumps([block, record]), flush=True)

    try:
        run = graph(**options).only(sys.argv[1]).run(engine, on_record=say)
    except FlowgraphError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
    restarts = {name: sum(c["restarts"].values()) for name, c in run.counters()["blocks"].items()}
    print(json.dumps({"restarts": restarts, "records": {name: list(kept) for name, kept in run.records.items()}}))
