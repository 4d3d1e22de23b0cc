"""DurableNode: a node that can be started again, and whose neighbours can (`semstream.runtime.durable`)."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import zmq

from semstream.runtime.block.block import Block
from semstream.runtime.block.calling import by_port, source_items, stamp
from semstream.runtime.durable.ledger import Key, Ledger, Taken, Unit
from semstream.runtime.durable.order import Done
from semstream.runtime.durable.receiver import DurableInputs
from semstream.runtime.durable.sender import DurableSender, ResumingSender
from semstream.runtime.durable.store import (
    FileStore,
    Item,
    MemoryStore,
    Ring,
    Store,
    is_for_good,
    lost_for_good,
    pack_state,
    unpack_state,
)
from semstream.runtime.edges.handles import Mailboxes
from semstream.runtime.edges.link import Arrival
from semstream.runtime.edges.order import Ranges
from semstream.runtime.edges.sender import Sender
from semstream.runtime.edges.sockets import Socket
from semstream.runtime.engines.control import LogForwarder
from semstream.runtime.engines.host import IDLE_MS
from semstream.runtime.engines.node import PUMP_EVERY_NS, Halted, Node
from semstream.runtime.errors import BlockError, FlowgraphError, SemstreamError, SkipFrame
from semstream.runtime.frames import wire
from semstream.runtime.frames.frame import Frame
from semstream.runtime.frames.types import PortType
from semstream.runtime.graph.nodes import NodeSpec, OutputSpec

PARTING_S = 5.0
"""How long a sender waits for another flowgraph to say that the end has come through; all frames have by then."""


def make_node(
    spec: NodeSpec,
    block: Block,
    context: zmq.Context[Socket],
    logs: LogForwarder | None = None,
    out_types: dict[str, PortType] | None = None,
    mailboxes: Mailboxes | None = None,
    memory: MemoryStore | None = None,
) -> Node:
    """The node for a spec."""
    if spec.guard is None:
        return Node(spec, block, context, logs, out_types, mailboxes)
    store: Store = FileStore(spec.guard, spec.block) if spec.guard.folder or memory is None else memory
    return DurableNode(store, spec, block, context, logs, out_types, mailboxes)


class DurableNode(Node):
    """One life of a node."""

    def __init__(self, store: Store, spec: NodeSpec, block: Block, *arguments: Any) -> None:
        super().__init__(spec, block, *arguments)
        assert spec.guard is not None
        self.guard = spec.guard
        self._store = store
        merges = len(spec.inputs) > 1 or any(len(entry.endpoints) > 1 for entry in spec.inputs)
        own = type(block).snapshot is not Block.snapshot or bool(block.state)
        self._ledger = Ledger(self._on_complete, block.is_source or block.renumber or merges or own)
        self._untold = True
        self._durable_inputs: DurableInputs | None = None
        self._done: Done = {}
        self._earlier: dict[str, Any] | None = None
        self._items = 0
        self._ring: Ring | None = None
        self._took_s = 0.0
        self._skipped: list[tuple[str, int]] = []
        self._forwarding = self._muted = self._restored = self._again = False
        self._unkept: deque[Unit | tuple[int, int] | None] = deque()
        self._places: tuple[object, int] = (None, 0)
        self._renewed: list[str] = []

    # -- opening ---------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self.block.run, self.block.restarts = self.guard.run, self.guard.life
        if self._ledger.gathers and self.guard.life:
            data = self._store.load(self.spec.node)
            if data is not None:
                self._earlier = self._unpacked(data)
                for stream, ranges in self._earlier["done"].items():
                    known = self._done[stream] = Ranges()
                    for first, last in ranges:
                        known.add(first, last)
        super()._open()

    def _unpacked(self, data: bytes) -> dict[str, Any]:
        try:
            value: dict[str, Any] = unpack_state(data)
            if set(value) != {"done", "numbering", "items", "state"}:
                raise ValueError("it has other keys than a snapshot has")
            return value
        except Exception as error:
            raise lost_for_good(
                f"block {self.spec.block!r}: its snapshot cannot be read ({error}); its state is lost, and with it the "
                "run"
            ) from None

    def _make_sender(self, spec: OutputSpec, port_type: PortType) -> Sender:
        kind = DurableSender if spec.durable else ResumingSender
        return kind(
            self.context, spec, port_type, self.spec.block, self.counters, self.block.log, self.mailboxes, self._pool,
            self.guard, self._ledger,
        )  # fmt: skip

    def _make_inputs(self) -> DurableInputs:
        spec, block = self.spec, self.block
        inputs = self._durable_inputs = DurableInputs(
            self.context, spec.inputs, block.inputs, spec.node, self.counters, block.log, self.mailboxes,
            self.guard, {stream: _copied(ranges) for stream, ranges in self._done.items()}, self._leave_out,
        )  # fmt: skip
        return inputs

    def _restore(self) -> None:
        self._restored = True
        earlier = self._earlier
        if earlier is None:
            return
        self._items = earlier["items"]
        self.numbering._next = self._numbers()
        if earlier["state"] is not None:
            try:
                self.block.restore(earlier["state"])
            except Exception as error:
                raise lost_for_good(
                    f"block {self.spec.block!r}: its snapshot cannot be taken up, {type(error).__name__}: {error}; its "
                    "state is lost, and with it the run"
                ) from error

    def _numbers(self) -> dict[tuple[str, str], int]:
        """What comes next on each port, as the snapshot has it."""
        earlier = self._earlier
        return {(port, stream): seq for port, stream, seq in earlier["numbering"]} if earlier is not None else {}

    # -- accounts --------------------------------------------------------------------------------------------------

    def pump(self, timeout_ms: int) -> None:
        """Serve sockets; settle accounts before waiting, for what others wait for must not wait here."""
        wait_s = self._balance()
        super().pump(timeout_ms if timeout_ms < 1e3 * wait_s else int(1e3 * wait_s) + 1)

    def _balance(self) -> float:
        """Make snapshots, acknowledge, dial anew; returns the seconds until there is more to do."""
        ledger, inputs = self._ledger, self._durable_inputs
        wait_s = ledger.wait_s() if self._restored else float("inf")
        if not wait_s:
            begin = time.monotonic()
            ledger.hold((self._items, self._snapshot()))
            self._took_s = time.monotonic() - begin
        valid = ledger.valid
        if valid is not None:
            begin = time.monotonic()
            items, data = valid
            self._store.save(self.spec.node, data)
            ledger.commit(self._took_s + time.monotonic() - begin)
            self._tell_progress()
            if self._ring is not None:
                self._ring.drop(items)
        if inputs is None:
            return wait_s
        if self._renewed or any(getattr(link, "broken", False) for link in inputs.links):
            renewed, self._renewed = self._renewed or [""], []
            for node in renewed:
                for old, new in inputs.renew(node):
                    self._unwatch(old)
                    self._watch(new)
        while inputs.parted:
            port, index = inputs.parted.pop()
            self.control.tell("upstream", port=port.name)
            self._unkept.append((inputs.ports.index(port), index))
        if inputs.send_acknowledgements():
            self._tell_progress()
        return wait_s or float("inf")

    def _tell_progress(self) -> None:
        """Say once that this life has done something that the next one need not do again."""
        if self._untold:
            self._untold = False
            self.control.tell("progress")

    def _unwatch(self, link: Any) -> None:
        for socket in (link.socket, link.monitor):
            if socket is not None:
                del self._handlers[socket]
                self._poller.unregister(socket)
        link.close(0)

    def _snapshot(self) -> bytes:
        try:
            return pack_state(
                {
                    "done": {stream: list(ranges) for stream, ranges in self._done.items()},
                    "numbering": [[*place, seq] for place, seq in self.numbering._next.items()],
                    "items": self._items,
                    "state": self.block.snapshot(),
                }
            )
        except (TypeError, ValueError, OverflowError) as error:
            raise lost_for_good(
                f"block {self.spec.block!r}: snapshot() gave something that cannot be kept ({error}); expected plain "
                "values (None, bool, int, float, str, bytes, list, dict) and arrays"
            ) from None

    def _on_complete(self, unit: Unit) -> None:
        inputs = self._durable_inputs
        assert inputs is not None
        for port, key in unit.taken:
            inputs.acknowledge(port, key)

    def _leave_out(self, port: str, key: Key) -> None:
        self._ledger.leave_out([(port, key)])
        self._note_done(key)

    def _note_done(self, key: Key) -> None:
        if self._ledger.gathers:
            ranges = self._done.get(key[0])
            if ranges is None:
                ranges = self._done[key[0]] = Ranges()
            ranges.add(int(key[1]), int(key[-1]))

    def _obey(self, op: str, message: dict[str, Any]) -> None:
        if op == "kept":
            for _ in range(message["count"]):
                told = self._unkept.popleft()
                if isinstance(told, tuple):  # the owner knows that this link has ended: the other flowgraph may go
                    assert self._durable_inputs is not None
                    self._durable_inputs.ports[told[0]].links[told[1]].socket.send(wire.control("ack", eos=True))
                else:
                    self._ledger.settle(told)
        elif op == "renewed":
            self._renewed.append(message["node"])
        elif op == "finished":
            if self._durable_inputs is not None:
                self._durable_inputs.on_finished(message["node"])
            for sender in self._all_senders:
                assert isinstance(sender, ResumingSender)
                sender.on_finished(message["node"])
        else:
            super()._obey(op, message)

    def publish(self, record: dict[str, Any]) -> None:
        """Take a record to the owner, with what it is known by should it come again."""
        if self._muted or self._forwarding:
            return
        unit = self._ledger.current
        about: object = unit if unit is not None else self.phase
        place = self._places[1] + 1 if self._places[0] is about else 0
        self._places = (about, place)
        key: list[Any] | None = None
        if unit is None:
            key = [f"{self.phase} {self.spec.node}", 0, place] if self.phase in ("start", "stop") else None
        elif unit.taken:
            stream, seq = unit.taken[0][1][:2]
            key = [f"frame {stream}", seq, place]
        else:
            key = [f"item {self.spec.node}", self._items, place]
        try:
            self.control.tell("record", record=record, key=key)
        except (TypeError, ValueError, OverflowError) as error:
            raise SemstreamError(f"block {self.spec.block!r}: cannot publish {record!r:.200}: {error}") from error
        self._unkept.append(self._ledger.owe())

    # -- the two loops ---------------------------------------------------------------------------------------------

    def _consume(self) -> None:
        self._restore()
        super()._consume()
        self._clear()

    def _step(self, unit: dict[str, Arrival] | wire.Gap) -> None:
        taken: list[Taken]
        if isinstance(unit, dict):
            taken = [(port, (arrival.frame.stream, arrival.frame.seq)) for port, arrival in unit.items()]
        else:
            taken = [("", unit)]
        self._ledger.begin(taken)
        super()._step(unit)
        self._note_done(taken[0][1])
        self._ledger.close()

    def _generate(self) -> None:
        self._restore()
        begin, last = self._items, self._items
        if self.guard.disk:
            self._ring = self._store.ring(self.spec.node)
            for item in self._ring.items():
                if item.number >= begin:
                    self._give_again(item)
                    last = item.number + 1
        generator = iter(self.block.frames())
        items = source_items(self.block, generator)
        try:
            if not self.block.repeatable or self._forward(items, last, begin):
                self._items = last
                while not (self.draining or self.halted) and self._give_next(items):
                    pass
        finally:
            if isinstance(generator, Iterator) and hasattr(generator, "close"):
                generator.close()
        self._clear()

    def _forward(self, items: Iterator[Any], last: int, begin: int) -> bool:
        """Play a source forward to item `last` without sending; whether it goes on from there."""
        kept = self._earlier is not None and self._earlier["state"] is not None
        self.numbering._next = self._numbers() if kept else {}
        self._forwarding = True
        for _ in range(last - begin if kept else last):
            item = next(items, None)
            if item is None or self.draining or self.halted:
                return False
            if isinstance(item, SkipFrame):
                self.skip(item.reason)
            else:
                for port, frame in by_port(self.block, item):
                    stamp(self.block, port, frame, self.numbering)
            if time.perf_counter_ns() - self._pumped_ns > PUMP_EVERY_NS:
                self.pump(0)
        self._forwarding = False
        self._skipped = []
        return True

    def _give_again(self, item: Item) -> None:
        self._ledger.begin([])
        self._items = item.number
        for port, seq in item.gaps:
            for sender in self._senders.get(port, ()):
                sender.give_gap("main", seq, seq)
            self.numbering._next[port, "main"] = seq + 1
        for port, frame in item.frames:
            self.numbering._next[port, frame.stream] = frame.seq + 1
            self._emit(port, frame)
        self._items += 1
        self._ledger.close()

    def _give_next(self, items: Iterator[Any]) -> bool:
        """One item of a source, once there is room for it; False at the end."""
        if self._lost:
            self._raise_lost()
        if self._sets:
            self._apply_sets()
        if self.held or not self._outputs_ready():
            self.pump(IDLE_MS)
            return True
        begin = time.perf_counter_ns()
        self._blocked_ns = 0
        self._ledger.begin([])
        item = next(items, None)
        self.counters.work.add(time.perf_counter_ns() - begin - self._blocked_ns)
        frames: list[tuple[str, Frame]] = []
        if isinstance(item, SkipFrame):
            self.skip(item.reason)
        elif item is not None:
            for port, frame in by_port(self.block, item):
                stamp(self.block, port, frame, self.numbering)
                frames.append((port, frame))
        skipped, self._skipped = self._skipped, []
        if self._ring is not None and (frames or skipped):
            self._ring.add(Item(self._items, frames, skipped))
        for port, seq in skipped:
            for sender in self._senders.get(port, ()):
                sender.give_gap("main", seq, seq)
        for port, frame in frames:
            self._emit(port, frame)
        self._items += 1
        self._ledger.close()
        if time.perf_counter_ns() - self._pumped_ns > PUMP_EVERY_NS:
            self.pump(0)
        return item is not None

    def skip(self, reason: str) -> None:
        """Count a frame that the source leaves out; receivers are told once that is kept."""
        if not self._forwarding:
            self.counters.skips[reason] += 1
        for port in self.block.outputs:
            self._skipped.append((port, self.numbering.take(port, "main")))

    def pause(self, seconds: float) -> bool:
        """Wait, unless the source is only being played forward."""
        return not self.draining if self._forwarding else super().pause(seconds)

    # -- the end ---------------------------------------------------------------------------------------------------

    def _clear(self) -> None:
        """Wait until all that was given has arrived at all sinks, and is acknowledged to the senders."""
        while not (self._ledger.clear or self._ledger.abandoned):
            if self.halted:
                raise Halted
            if self._lost:
                self._raise_lost()
            self.pump(IDLE_MS)
        self._balance()

    def _fail(self, error: BaseException) -> None:
        # What a user must mend before the first frame, and a peer that is lost for good, no further life mends.
        hopeless = is_for_good(error) or isinstance(error, FlowgraphError)
        hopeless |= self.phase == "start" and isinstance(error, BlockError)
        again = self.block.resumes = self.guard.restart != "never" and not hopeless and not self.draining
        if again:
            self._muted = True
            for sender in self._all_senders:
                assert isinstance(sender, ResumingSender)
                sender.quiet = True
            for link in self._durable_inputs.links if self._durable_inputs is not None else ():
                link.parting = True  # type: ignore[attr-defined]
        self._again = again
        super()._fail(error)

    def _tell_failed(self, **values: str) -> None:
        self.control.tell("failed", again=self._again, **values)

    def _settle(self) -> bool:
        done = super()._settle()
        while self._unkept and not self.halted and not self._ledger.abandoned:
            self.pump(IDLE_MS)
        abroad = [s for s in self._all_senders if isinstance(s, DurableSender) and s.spec.remote and not s.discarding]
        if done and abroad:
            for sender in abroad:
                sender.end("eos")
            deadline = time.monotonic() + PARTING_S
            while not self.halted and time.monotonic() < deadline and not all(s.eos_acknowledged for s in abroad):
                self.pump(IDLE_MS)
        if self._durable_inputs is not None:
            self._durable_inputs.send_acknowledgements()
        return done and not self.halted


def _copied(ranges: Ranges) -> Ranges:
    copy = Ranges()
    for first, last in ranges:
        copy.add(first, last)
    return copy
