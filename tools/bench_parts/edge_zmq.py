"""Raw pyzmq PUSH/PULL under the bench's traffic: what ZeroMQ itself gives, without credit, checks or counters."""

from __future__ import annotations

import struct
import threading
import time
from typing import Any

import numpy as np
import zmq

from tools.bench_parts.traffic import Phase, Tally, content, emissions, phases

HEADER = struct.Struct("<iq")  # phase, Unix time in ns
END = b"end"
BUFFERED_BYTES = 2**26


def send_all(context: zmq.Context[Any], endpoint: str, schedule: list[Phase], hwm: int) -> None:
    """Bind a PUSH socket and send the schedule."""
    push = context.socket(zmq.PUSH)
    push.sndhwm = hwm
    push.linger = 10_000
    push.sndtimeo = 60_000
    push.bind(endpoint)
    for index, phase in enumerate(schedule):
        data = content(phase.size)
        for _ in emissions(phase):
            push.send_multipart([HEADER.pack(index, time.time_ns()), data], copy=False)
    push.send(END)
    push.close()


def receive_all(context: zmq.Context[Any], endpoint: str, hwm: int, work_s: float) -> dict[str, Any]:
    """Connect a PULL socket and time what comes."""
    pull = context.socket(zmq.PULL)
    pull.rcvhwm = hwm
    pull.rcvtimeo = 60_000
    pull.connect(endpoint)
    tally = Tally()
    while True:
        parts = pull.recv_multipart(copy=False)
        if len(parts) == 1:
            break
        phase, sent_ns = HEADER.unpack(parts[0].buffer)
        tally.add(phase, sent_ns, np.frombuffer(parts[1].buffer, np.uint8))
        if work_s:
            time.sleep(work_s)
    pull.close()
    return tally.result()


def _hwm(schedule: list[Phase], hwm: int | None) -> int:
    """ZeroMQ's default of 1000 messages, fewer where these would fill the memory."""
    return hwm or max(8, min(1000, BUFFERED_BYTES // max(phase.size for phase in schedule)))


def run_threads(schedule: list[Any], endpoint: str, hwm: int | None = None, **_: Any) -> dict[str, Any]:
    """Both ends in threads of this process."""
    context: zmq.Context[Any] = zmq.Context()
    plan = phases(schedule)
    sender = threading.Thread(target=send_all, args=(context, endpoint, plan, _hwm(plan, hwm)))
    sender.start()
    tally = receive_all(context, endpoint, _hwm(plan, hwm), 0.0)
    sender.join()
    context.term()
    return tally


def run_sender(schedule: list[Any], endpoint: str, hwm: int | None = None, **_: Any) -> None:
    """The sending process."""
    context: zmq.Context[Any] = zmq.Context()
    plan = phases(schedule)
    send_all(context, endpoint, plan, _hwm(plan, hwm))
    context.term()


def run_receiver(
    schedule: list[Any], endpoint: str, hwm: int | None = None, work_s: float = 0.0, **_: Any
) -> dict[str, Any]:
    """The receiving process; the tally."""
    context: zmq.Context[Any] = zmq.Context()
    tally = receive_all(context, endpoint, _hwm(phases(schedule), hwm), work_s)
    context.term()
    return tally
