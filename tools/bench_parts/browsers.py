"""Browsers of a live page as far as the network goes: each opens it, takes every message, and looks at a branch.

    python -m tools.bench_parts.browsers ADDRESS COUNT

In a process of its own, as browsers are. Ends when its input closes; then prints how many messages and bytes came.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from tornado.websocket import websocket_connect


async def browse(address: str, taken: list[int]) -> None:
    """One browser, until the page leaves or this is cancelled."""
    page: Any = await websocket_connect(address.partition("?")[0].replace("http", "ws") + "live")
    await page.write_message(json.dumps({"op": "hello", "token": address.partition("token=")[2]}))
    while (text := await page.read_message()) is not None:
        taken.append(len(text))
        branches = json.loads(text).get("branches") if text.startswith('{"run"') else None
        if branches:
            await page.write_message(json.dumps({"op": "look", "branches": branches[:1]}))


async def main() -> None:
    """Browse until the owner goes."""
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), gone.set)
    taken: list[int] = []
    tasks = [asyncio.create_task(browse(sys.argv[1], taken)) for _ in range(int(sys.argv[2]))]
    await gone.wait()
    for task in tasks:
        task.cancel()
    print(json.dumps({"messages": len(taken), "bytes": sum(taken)}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
