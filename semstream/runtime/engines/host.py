"""NodeHost: a node's poller, its line to the owner, and what its block may ask for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import zmq
from zmq.backend import zmq_poll

from semstream.runtime.block.block import Block
from semstream.runtime.block.calling import Numbering
from semstream.runtime.block.settings import changed
from semstream.runtime.counters import NodeCounters
from semstream.runtime.edges.handles import Mailboxes
from semstream.runtime.edges.receiver import Inputs
from semstream.runtime.edges.sender import Sender
from semstream.runtime.edges.slots import Pool
from semstream.runtime.edges.sockets import Socket
from semstream.runtime.engines.control import ControlLine, LogForwarder
from semstream.runtime.errors import FlowgraphError, SemstreamError
from semstream.runtime.frames import wire
from semstream.runtime.frames.types import PortType
from semstream.runtime.graph.nodes import NodeSpec

IDLE_MS = 100
TICK_NS = IDLE_MS * 1_000_000
REPORT_EVERY_S = 0.5


class NodeHost:
    """Serves sockets between and, where the block waits, within its calls; everything happens in the node's thread."""

    def __init__(
        self,
        spec: NodeSpec,
        block: Block,
        context: zmq.Context[Socket],
        logs: LogForwarder | None = None,
        out_types: dict[str, PortType] | None = None,
        mailboxes: Mailboxes | None = None,
    ) -> None:
        self.spec = spec
        self.block = block
        self.context = context
        self.logs = logs
        self.mailboxes = mailboxes
        self._pool: Pool | None = None
        self._pack = wire.packer()
        self.out_types = out_types or {name: port.type for name, port in block.outputs.items()}
        self.counters = NodeCounters()
        self.numbering = Numbering()
        self.phase = "start"
        self.going = False
        self.draining = False
        self.halted = False
        self.held = False
        self._sets: list[dict[str, Any]] = []
        self._handlers: dict[Any, Callable[[], None]] = {}
        self._poller = zmq.Poller()
        self._pumped_ns = 0
        self._ticked_ns = time.perf_counter_ns()
        self._reported = time.monotonic()
        self._blocked_ns = 0
        self._lost = False
        self._senders: dict[str, list[Sender]] = {}
        self._all_senders: list[Sender] = []
        self._inputs: Inputs | None = None
        self.control = ControlLine(context, spec.control)
        self._register(self.control.socket, self._on_control)

    # -- events ----------------------------------------------------------------------------------------------------

    def pump(self, timeout_ms: int) -> None:
        """Serve control, credit and arrivals; wait up to `timeout_ms` if there are none."""
        for socket, _ in zmq_poll(self._poller.sockets, timeout_ms):
            self._handlers[socket]()
        now_ns = self._pumped_ns = time.perf_counter_ns()
        if now_ns - self._ticked_ns > TICK_NS:
            self._ticked_ns = now_ns
            self._tick(time.monotonic())

    def _tick(self, now: float) -> None:
        if self._inputs is not None:
            self._inputs.check_time()
            if self._inputs.lost and not self._inputs.ready and not self._inputs.draining:
                self._lost = True
        for sender in self._all_senders:
            sender.probe()
            if sender.lost:
                self._lost = True
        if self.logs is not None:
            while self.logs.waiting:
                self.control.tell("log", record=self.logs.waiting.popleft())
        if now - self._reported > REPORT_EVERY_S:
            self._reported = now
            self._report("counters")

    def _report(self, op: str) -> None:
        if self._inputs is not None:
            self.counters.queue["ready"] = len(self._inputs.ready)
        if self.logs is not None:
            while self.logs.waiting:
                self.control.tell("log", record=self.logs.waiting.popleft())
        self.control.tell(op, counters=self.counters.state())

    def _register(self, socket: Any, handler: Callable[[], None]) -> None:
        self._handlers[socket] = handler
        self._poller.register(socket, zmq.POLLIN)

    def _on_control(self) -> None:
        for message in self.control.take():
            self._obey(message["op"], message)

    def _obey(self, op: str, message: dict[str, Any]) -> None:
        """Do what the owner wants."""
        if op == "go":
            self.going = True
        elif op == "set":
            self._sets.append(message)
        elif op == "dead":
            for sender in self._all_senders:
                sender.on_dead(message["node"])
            if self._inputs is not None:
                self._inputs.on_dead(message["node"])
        elif op == "moved":
            if self._inputs is not None:
                self._inputs.move(message["node"], message["endpoints"])
        elif op == "drain":
            self.draining = True
            if self._inputs is not None:
                self._inputs.leave()
            for sender in self._all_senders:
                sender.stopping = True
        elif op == "hold":
            self.held = bool(message["value"])
        elif op == "halt":
            self.draining = self.halted = True

    def _apply_sets(self) -> None:
        waiting, self._sets = self._sets, []
        for message in waiting:
            values = message["values"]
            try:
                self.block.settings = changed(self.block.settings, values, self.spec.block)
            except SemstreamError as error:
                self.control.tell("ack", id=message["id"], error=str(error))
                continue
            self.block.on_change(set(values))
            self.control.tell("ack", id=message["id"], error="")

    def _raise_lost(self) -> None:
        lost = self._inputs.lost if self._inputs is not None else ""
        lost = lost or next((sender.lost for sender in self._all_senders if sender.lost), "")
        if lost:
            raise FlowgraphError(f"block {self.spec.block!r}: {lost}", self.spec.block)

    # -- what the block may ask for --------------------------------------------------------------------------------

    def publish(self, record: dict[str, Any]) -> None:
        """Take a record to the owner."""
        try:
            self.control.tell("record", record=record)
        except (TypeError, ValueError, OverflowError) as error:
            raise SemstreamError(f"block {self.spec.block!r}: cannot publish {record!r:.200}: {error}") from error

    def show(self, name: str, value: dict[str, Any]) -> None:
        """Take something to look at to the owner."""
        try:
            self.control.tell("show", name=name, value=value)
        except (TypeError, ValueError, OverflowError) as error:
            raise SemstreamError(f"block {self.spec.block!r}: cannot show {name!r}: {error}") from error

    def skip(self, reason: str) -> None:
        """Count a frame that the source leaves out, and say so downstream."""
        self.counters.skips[reason] += 1
        for port in self.block.outputs:
            seq = self.numbering.take(port, "main")
            for sender in self._senders.get(port, ()):
                sender.give_gap("main", seq, seq)

    def pause(self, seconds: float) -> bool:
        """Wait while credit and control are served."""
        deadline = time.monotonic() + seconds
        begin = time.perf_counter_ns()
        while not self.draining and (left := deadline - time.monotonic()) > 0:
            if left > 0.001:
                self.pump(min(IDLE_MS, int(left * 1000)))
            else:
                time.sleep(left)  # finer than a poll can wait
        self._blocked_ns += time.perf_counter_ns() - begin
        return not self.draining
