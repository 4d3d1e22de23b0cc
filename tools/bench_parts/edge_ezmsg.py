"""ezmsg under the bench's traffic: local delivery (inproc), shared memory (ipc), or tcp between two processes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import ezmsg.core as ez
import numpy as np

from tools.bench_parts.traffic import Tally, content, phases


@dataclass
class Message:
    """One message; phase -1 ends the traffic."""

    phase: int
    sent_ns: int
    data: np.ndarray


class SourceSettings(ez.Settings):
    """What is sent, and whether over tcp."""

    schedule: list[Any]
    force_tcp: bool


class Source(ez.Unit):
    """Publishes the schedule. Paces itself as `traffic.emissions` does, but must not block the event loop."""

    OUTPUT = ez.OutputStream(Message)
    SETTINGS = SourceSettings

    async def initialize(self) -> None:
        """Choose the transport."""
        self.OUTPUT.force_tcp = self.SETTINGS.force_tcp

    @ez.publisher(OUTPUT)
    async def publish(self) -> AsyncGenerator:
        """Send all phases and the end."""
        for index, phase in enumerate(phases(self.SETTINGS.schedule)):
            data = content(phase.size)
            for _ in range(phase.pings):
                await asyncio.sleep(phase.interval_s)
                yield self.OUTPUT, Message(index, time.time_ns(), data)
            end = time.monotonic() + phase.flood_s
            while not phase.pings and time.monotonic() < end:
                yield self.OUTPUT, Message(index, time.time_ns(), data)
        yield self.OUTPUT, Message(-1, 0, content(1))
        raise ez.Complete


class SinkState(ez.State):
    """What has arrived."""

    tally: Tally


class Sink(ez.Unit):
    """Times what arrives."""

    INPUT = ez.InputStream(Message)
    STATE = SinkState

    async def initialize(self) -> None:
        """Start with an empty tally."""
        self.STATE.tally = Tally()

    @ez.subscriber(INPUT)
    async def receive(self, message: Message) -> None:
        """Count one message."""
        if message.phase < 0:
            raise ez.NormalTermination
        self.STATE.tally.add(message.phase, message.sent_ns, message.data)


def run(schedule: list[Any], transport: str) -> dict[str, Any]:
    """Source and sink in one process (inproc) or two (ipc: shared memory, tcp); the tally."""
    source, sink = Source(SourceSettings(schedule, transport == "tcp")), Sink()
    server = ez.GraphServer(name="GraphServer")  # its own, on a free port, so that no other run is met
    server.start()
    ez.run(
        SOURCE=source,
        SINK=sink,
        connections=((source.OUTPUT, sink.INPUT),),
        process_components=() if transport == "inproc" else (source,),
        graph_address=server.address,
    )
    server.stop()
    return sink.STATE.tally.result()
