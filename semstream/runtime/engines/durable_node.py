"""DurableNode: a node that can be started again, and whose neighbours can (`semstream.runtime.durable`)."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import zmq

from semstream.runtime.block.batch import Done
from semstream.runtime.block.block import Block
from semstream.runtime.block.calling import by_port, source_items, stamp
from semstream.runtime.durable.ledger import Taken
from semstream.runtime.durable.resuming import ResumingSender
from semstream.runtime.durable.store import (
    FileStore,
    Item,
    MemoryStore,
    Store,
    is_for_good,
)
from semstream.runtime.edges.handles import Mailboxes
from semstream.runtime.edges.link import Arrival
from semstream.runtime.edges.sockets import Socket
from semstream.runtime.engines.accounted_node import AccountedNode
from semstream.runtime.engines.control import LogForwarder
from semstream.runtime.engines.host import IDLE_MS
from semstream.runtime.engines.node import PUMP_EVERY_NS, Halted, Node
from semstream.runtime.errors import BlockError, FlowgraphError, SkipFrame
from semstream.runtime.frames import wire
from semstream.runtime.frames.frame import Frame
from semstream.runtime.frames.types import PortType
from semstream.runtime.graph.nodes import NodeSpec


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


class DurableNode(AccountedNode):
    """One life of a node."""

    # -- the two loops ---------------------------------------------------------------------------------------------

    def _consume(self) -> None:
        self._restore()
        super()._consume()
        self._clear()

    def _work_ahead(self) -> deque[Done]:
        """Nothing: a snapshot holds what was done before its frame, and no more."""
        return deque()

    def _step(self, unit: dict[str, Arrival] | wire.Gap, done: Done | None = None) -> None:
        taken: list[Taken]
        if isinstance(unit, dict):
            taken = [(port, (arrival.frame.stream, arrival.frame.seq)) for port, arrival in unit.items()]
        else:
            taken = [("", unit)]
        self._ledger.begin(taken)
        super()._step(unit, done)
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
        if item is None and (self.draining or self.halted):
            self._ledger.cut_off()  # amid its work, perhaps: a snapshot of now would have in it what was not given
            return False
        self._items += item is not None
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
        if self._forwarding:
            return not self.draining
        whole = super().pause(seconds)
        if self.halted and self.guard.outlives and not self.block.is_source:
            raise Halted  # else the frame at hand, cut short, would count as done
        return whole

    # -- the end ---------------------------------------------------------------------------------------------------

    def _clear(self) -> None:
        """Wait until all that was given has arrived at all sinks, and is acknowledged to the senders."""
        if self.halted and self.guard.outlives:
            raise Halted
        while not (self._ledger.clear or self._ledger.abandoned):
            if self.halted:
                raise Halted
            if self._lost:
                self._raise_lost()
            self.pump(IDLE_MS)
        self._balance()
        self.block.resumes = False

    def _obey(self, op: str, message: dict[str, Any]) -> None:
        super()._obey(op, message)
        if op == "halt" and self.guard.outlives:
            self._say_nothing()  # the stream has not ended: it goes on when the run is taken up again

    def _say_nothing(self) -> None:
        """Leave without a word to the neighbours: this node will be back."""
        for sender in self._all_senders:
            assert isinstance(sender, ResumingSender)
            sender.quiet = True
        for link in self._durable_inputs.links if self._durable_inputs is not None else ():
            link.parting = True  # type: ignore[attr-defined]

    def _fail(self, error: BaseException) -> None:
        # What a user must mend before the first frame, and a peer that is lost for good, no further life mends.
        hopeless = is_for_good(error) or isinstance(error, FlowgraphError)
        hopeless |= self.phase == "start" and isinstance(error, BlockError)
        again = self.guard.restart != "never" and not hopeless and not self.draining
        self.block.resumes = again or self.guard.outlives
        if again:
            self._muted = True
            self._say_nothing()
        self._again = again
        super()._fail(error)

    def _tell_failed(self, **values: str) -> None:
        self.control.tell("failed", again=self._again, **values)

    def _settle(self) -> bool:
        done = super()._settle()
        while self._unkept and not self.halted and not self._ledger.abandoned:
            self.pump(IDLE_MS)
        if done:
            self._part()
        if self._durable_inputs is not None:
            self._durable_inputs.send_acknowledgements()
        self._whole = done and not self.halted
        return self._whole

    def _report(self, op: str) -> None:
        if op == "done" and self._whole:
            self.control.tell("ended")
        super()._report(op)

    def _part(self) -> None:
        """See the end through to other flowgraphs, also over a connection that breaks just now."""
        senders = [s for s in self._all_senders if isinstance(s, ResumingSender) and s.spec.remote and s.spec.returns]
        for sender in senders:
            sender.end("eos")
        begin = time.monotonic()
        while not self.halted:
            passed = time.monotonic() - begin
            if all(s.end_acknowledged or s.discarding or passed > s.parting_s for s in senders):
                return
            self.pump(IDLE_MS)
