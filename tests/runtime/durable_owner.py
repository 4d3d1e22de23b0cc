"""A program that runs a durable graph with a state folder: ``durable_owner.py JSON``. Its records go into a file."""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))

from blocks.recorder import record
from semstream.runtime import Flowgraph, FlowgraphError
from tools.bench_parts.crashes import small, timeless


def graph(frames: int, folder: str = "", durable: bool | str = True, **options: Any) -> Flowgraph:
    """State, replicas, a join, skips, a block that renumbers, and a recording in `folder`, if it is given."""
    made = small(frames, durable, **options)
    if folder:
        record(made, "accumulate.total -> pairs.number", str(Path(folder) / "totals.rec"))
    return made


if __name__ == "__main__":
    options = json.loads(sys.argv[1])
    out, engine, most = Path(options.pop("out")), options.pop("engine"), options.pop("file_limit", 0)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    if most:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    try:
        run = graph(**options).run(engine, timeout=60)
    except FlowgraphError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
    part = out.with_suffix(".part")
    part.write_text(json.dumps({name: timeless(records) for name, records in run.records.items()}))
    os.replace(part, out)
    run.discard_state()
