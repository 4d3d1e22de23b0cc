"""``python -m semstream.monitor.page ENDPOINT PORT``: the page beside a flowgraph, until its input closes.

The first line of standard input is empty or has CURVE keys, as JSON: a command line can be read by others.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from semstream.monitor.page.server import PageServer
from semstream.runtime import CurveKeys, FlowgraphError


def main() -> None:
    """Serve until the owner goes, or says that it does."""
    keys = json.loads(sys.stdin.readline().strip() or "null")
    try:
        server = PageServer(sys.argv[1], int(sys.argv[2]), keys and CurveKeys(*keys))
    except FlowgraphError as error:
        print(f"error: {error}", flush=True)
        raise SystemExit(1) from None
    print(server.address(), flush=True)

    async def owner_gone() -> None:
        gone = asyncio.Event()
        loop, owner = asyncio.get_running_loop(), sys.stdin.fileno()

        def take() -> None:
            if not os.read(owner, 1024):
                gone.set()

        loop.add_reader(owner, take)
        await gone.wait()
        loop.remove_reader(owner)

    # Once there is something to see the link comes first; earlier, the page would take long to begin beside a busy one.
    asyncio.run(server.serve(owner_gone, lambda: os.nice(5)))
    sys.stdout.flush()
    os._exit(0)  # the owner waits: nothing is left to do, and to take Bokeh down takes its time


if __name__ == "__main__":
    main()
