"""Targets of the monitor: requests of viewers and browsers, arrays within snapshots."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from semstream.runtime import Flowgraph, Run
from semstream.runtime.frames import wire
from tools.fuzzing.target import Draw, Target, holds, plain

TOKEN = "right"


class _Conductor:
    """Stands for a conductor of a run under way: every change that was found right is in force at once."""

    def __init__(self) -> None:
        import threading

        self.finished = threading.Event()
        self.failure = None
        self.duration = 1.0
        self.shown: dict[Any, Any] = {}

    def set(self, block: str, values: dict[str, Any], timeout: float) -> str:
        wire.pack({"op": "set", "id": 1, "values": values})  # as it would go to the node
        return ""

    def hold(self, value: bool) -> None:
        pass

    def states(self) -> dict[str, Any]:
        return {name: [] for name in ("source", "sweep", "channel", "sink")}


def _run() -> Run:
    """A run of blocks with live settings of every kind that never begins."""
    import threading

    import blocks
    from semstream.runtime.records import Records

    graph = Flowgraph("fuzz")
    for block in (
        blocks.ImageSource(name="source"), blocks.SnrSweep(name="sweep"), blocks.FadingChannel(name="channel"),
        blocks.MetricSink(name="sink"),
    ):  # fmt: skip
        graph.add(block)
    run = Run.__new__(Run)
    run.graph, run.engine, run.interrupted, run.held = graph, "threads", False, False
    run.records = {name: Records(name) for name in graph.blocks}
    run._settings = {name: block.settings for name, block in graph.blocks.items()}
    run._set_lock = threading.Lock()
    run._conductor = _Conductor()  # type: ignore[assignment]
    return run


@contextlib.contextmanager
def service() -> Iterator[Callable[[bytes], None]]:
    """Any request of a viewer is answered, in time, and changes nothing without the token."""
    import queue

    from semstream.monitor.service import MonitorService

    run = _run()
    monitor = MonitorService(run, "tcp://127.0.0.1:*", control=True, token=TOKEN)
    before = dict(run._settings)

    def one(data: bytes) -> None:
        draw = Draw(data)
        request = draw.rest() if draw.below(2) else wire.pack(_request(draw))
        replies = monitor._replied([b"viewer", request])
        with contextlib.suppress(queue.Empty):
            while (wanted := monitor._wanted.get_nowait()) is not None:
                replies.append(monitor._changed_by(wanted[1]))
        for reply in replies:
            holds(len(reply) < 100_000, "answers are short")
            holds(isinstance(wire.unpack(reply), dict), "an answer is a map")
        run._settings = dict(before)

    try:
        yield one
    finally:
        monitor._release()


def _request(draw: Draw) -> dict[str, Any]:
    request: dict[str, Any] = {"op": draw.pick(("set", "pause", "check", "snapshot", draw.text())), "id": draw.value()}
    request["token"] = TOKEN if draw.below(4) else draw.value()
    request["block"] = draw.pick(("source", "sweep", "channel", draw.value()))
    names = ("fps", "snr_db", "hold", "within_s", "channel", "timeout", "block", draw.text())
    request["values"] = (
        {draw.pick(names): draw.value() for _ in range(draw.below(3))} if draw.below(5) else draw.value()
    )
    request["value"] = draw.value()
    if draw.below(4) == 0:
        request.pop(draw.pick(sorted(request)))
    return request


@contextlib.contextmanager
def browser() -> Iterator[Callable[[bytes], None]]:
    """Any message of a browser is answered in JSON, and nothing is raised in the page's server."""
    import json

    from semstream.monitor.page.hub import encoded
    from semstream.monitor.page.server import request_of
    from semstream.monitor.page.steering import Steering
    from semstream.monitor.snapshot import Watch

    snapshot = wire.unpack(wire.pack(Watch(_run(), control=True).snapshot()))
    asked: list[Any] = []

    async def command(*request: Any) -> str:
        asked.append(wire.pack(list(request)))
        return ""

    loop = asyncio.new_event_loop()
    steering = Steering(command, lambda: snapshot)

    def one(data: bytes) -> None:
        draw = Draw(data)
        asked.clear()
        message = draw.rest() if draw.below(2) else json.dumps(_plain(_steer(draw))).encode()
        try:
            request = request_of(message)
        except ValueError as error:
            holds(len(str(error)) < 500, "said in few words")
            return
        error_text, done = loop.run_until_complete(steering.do(request | {"token": TOKEN}))
        steering.stop_sweep()
        holds(bool(error_text) != bool(done) or not error_text, "an error or what was done")
        holds(isinstance(json.loads(encoded({"reply": request.get("id", 0), "error": error_text, "done": done})), dict),
              "answered")  # fmt: skip

    try:
        yield one
    finally:
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def _steer(draw: Draw) -> dict[str, Any]:
    request: dict[str, Any] = {
        "op": draw.pick(("steer", "set", "pause", "sweep", "hello", "look", draw.text())), "id": draw.value(),
        "control": draw.pick(("snr", "channel", "bits", "scheme", draw.value())), "value": draw.value(),
        "scope": draw.value(), "block": draw.pick(("sweep", "channel", draw.value())),
        "name": draw.pick(("snr_db", "hold", draw.value())), "typed": draw.value(), "branches": draw.value(),
    }  # fmt: skip
    for _ in range(draw.below(3)):
        request.pop(draw.pick(sorted(request)))
    return request


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def read_array(data: bytes) -> None:
    """Any value is an array of a snapshot or a `ValueError`; what is read is packed as it was."""
    from semstream.monitor.arrays import pack_array, unpack_array
    from semstream.runtime import WireError

    draw = Draw(data)
    array = draw.array(("uint8", "float32"))
    value: Any = pack_array(array)
    for _ in range(draw.below(3)):
        value[draw.pick(("dtype", "shape", "data"))] = draw.value()
    values = [value, draw.value()]
    with contextlib.suppress(WireError):
        values.append(wire.unpack(data))
    for one in values:
        try:
            found = unpack_array(one)
        except ValueError:
            continue
        holds(np.array_equal(unpack_array(pack_array(found)), found, equal_nan=True), "unpack(pack(x)) is x")


def service_seeds() -> list[bytes]:
    """Requests of viewers."""
    requests: list[dict[str, Any]] = [
        {"op": "snapshot"},
        {"op": "check", "token": TOKEN, "id": 1},
        {"op": "set", "block": "sweep", "values": {"snr_db": [1.0]}, "token": TOKEN, "id": 2},
        {"op": "pause", "value": True, "token": TOKEN},
    ]
    return [b"\x01" + wire.pack(request) for request in requests] + [
        b"\x00" + bytes(range(40)),
        b"\x01" + b"\x91" * 900,
    ]


def browser_seeds() -> list[bytes]:
    """Messages of browsers."""
    return [
        b'\x01{"op": "steer", "control": "snr", "value": "inf", "id": 3}',
        b'\x01{"op": "set", "block": "sweep", "name": "hold", "value": "3, 4", "typed": true}',
        b'\x01{"op": "sweep", "value": true}',
        b"\x01" + b"[" * 2000,
        b"\x00" + bytes(range(40)),
    ]


TARGETS = [
    Target("monitor", "requests of viewers", service, service_seeds),
    Target("browser", "messages of browsers", browser, browser_seeds),
    Target("snapshot-array", "arrays within a snapshot", plain(read_array),
           lambda: [bytes(range(40))]),
]  # fmt: skip
