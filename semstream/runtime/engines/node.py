"""Node: runs one block between its edges. The same loop under every engine."""

from __future__ import annotations

import logging
import time
import traceback
from collections import deque
from collections.abc import Iterator
from functools import partial
from itertools import islice

from semstream.runtime.block.batch import Done, batches, done_together
from semstream.runtime.block.calling import by_port, call, source_items, stamp
from semstream.runtime.edges.link import Arrival, Link
from semstream.runtime.edges.parcel import Parcel
from semstream.runtime.edges.receiver import Inputs
from semstream.runtime.edges.remote_sender import RemoteSender
from semstream.runtime.edges.sender import Sender
from semstream.runtime.edges.slots import Pool, run_of
from semstream.runtime.edges.sockets import LINGER_MS
from semstream.runtime.engines.host import IDLE_MS, NodeHost
from semstream.runtime.errors import BlockError, FlowgraphError, SemstreamError, SkipFrame
from semstream.runtime.frames import wire
from semstream.runtime.frames.frame import Frame
from semstream.runtime.frames.types import ANY, PortType
from semstream.runtime.graph.nodes import OutputSpec

PUMP_EVERY_NS = 5_000_000
"""A busy node looks so often for what its owner wants; what it lacks for its next frame it looks for at once."""


class Halted(Exception):  # noqa: N818 - a signal, not an error
    """The owner wants this node to end now."""


class Node(NodeHost):
    """One block (or replica) with its edges. `run` is the whole life of it."""

    # -- life ------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Start, work until the end of the stream or a stop, stop, and tell the owner how it went."""
        started = failed = False
        try:
            self._open()
            self.block.name, self.block.seed, self.block.graph = self.spec.block, self.spec.seed, self.spec.graph
            self.block._host = self
            self.block.start()
            started = True
            self.phase = "process"
            self.control.tell("ready")
            while not (self.going or self.draining or self.halted):
                self.pump(IDLE_MS)
            if self.block.is_source:
                self.phase = "frames"
                self._generate()
            else:
                self._consume()
            self._raise_lost()
        except Halted:
            pass
        except BaseException as error:
            failed = True
            self._fail(error)
        if started:
            try:
                self.phase = "stop"
                self.block.stop()
            except BaseException as error:
                if not failed:
                    failed = True
                    self._fail(error)
        self._close(failed)

    def _open(self) -> None:
        for spec in self.spec.outputs:
            port_type = self.out_types.get(spec.port, ANY)
            if spec.shares_memory and self._pool is None:
                self._pool = Pool(run_of(spec.endpoint))
            sender = self._make_sender(spec, port_type)
            self._senders.setdefault(spec.port, []).append(sender)
            self._all_senders.append(sender)
            self._register(sender.socket, sender.on_readable)
        self._inputs = self._make_inputs()
        for link in self._inputs.links:
            self._watch(link)

    def _make_sender(self, spec: OutputSpec, port_type: PortType) -> Sender:
        block = self.block
        kind = RemoteSender if spec.remote else Sender
        return kind(
            self.context, spec, port_type, self.spec.block, self.counters, block.log, self.mailboxes, self._pool
        )

    def _make_inputs(self) -> Inputs:
        spec, block = self.spec, self.block
        return Inputs(self.context, spec.inputs, block.inputs, spec.node, self.counters, block.log, self.mailboxes)

    def _watch(self, link: Link) -> None:
        assert self._inputs is not None
        self._register(link.socket, partial(self._inputs.on_readable, link))
        if link.monitor is not None:
            self._register(link.monitor, partial(self._inputs.on_monitor, link))

    def _close(self, failed: bool) -> None:
        if not failed and not self.halted:
            failed = not self._settle()
        kind = "error" if failed or self.halted else "eos"
        for sender in self._all_senders:
            sender.end(kind, f"block {self.spec.block!r} has failed or was stopped")
        while kind == "eos" and not self.halted and not all(sender.delivered for sender in self._all_senders):
            self.pump(IDLE_MS)
        if self._inputs is not None:
            for link in self._inputs.links:
                link.say_bye()
        self._report("done")
        linger = 200 if self.halted or failed else LINGER_MS
        for sender in self._all_senders:
            sender.close(linger)
        if self._pool is not None:
            self._pool.close()
        if self._inputs is not None:
            for link in self._inputs.links:
                link.close(linger)
        self.control.socket.close(LINGER_MS)

    def _settle(self) -> bool:
        """Wait until every receiver is there and has all frames; False if the run was halted before."""
        while not self.halted and not all(sender.settled for sender in self._all_senders):
            self.pump(IDLE_MS)
        lost = next((sender.lost for sender in self._all_senders if sender.lost), "")
        if lost:
            self._fail(FlowgraphError(f"block {self.spec.block!r}: {lost}", self.spec.block))
            return False
        return not self.halted

    def _fail(self, error: BaseException) -> None:
        told = isinstance(error, BlockError) or (isinstance(error, FlowgraphError) and not error.traceback_text)
        text = "" if told else "".join(traceback.format_exception(error))
        message = str(error) if isinstance(error, SemstreamError) else f"{type(error).__name__}: {error}"
        phase = "" if told else self.phase  # what names its block needs no "failed in"
        self._tell_failed(phase=phase, message=message[:100_000], traceback=text[-1_000_000:])

    def _tell_failed(self, **values: str) -> None:
        self.control.tell("failed", **values)

    # -- the two loops ---------------------------------------------------------------------------------------------

    def _consume(self) -> None:
        inputs = self._inputs
        assert inputs is not None
        ready = inputs.ready
        together = batches(self.block)
        done: deque[Done] = deque()
        while not self.halted:
            if self._lost:
                self._raise_lost()
            if self._sets and not done:
                self._apply_sets()
            if not self._outputs_ready():
                self.pump(IDLE_MS)
            elif ready:
                if together and not done:
                    done = self._work_ahead()
                self._step(ready.popleft(), done.popleft() if done else None)
                if time.perf_counter_ns() - self._pumped_ns > PUMP_EVERY_NS:
                    self.pump(0)
            elif inputs.ended:
                return
            else:
                self.pump(IDLE_MS)

    def _work_ahead(self) -> deque[Done]:
        """What the block makes of the frames that wait, where it takes several at once; each still has its own turn."""
        inputs, most = self._inputs, self.block.batch
        assert inputs is not None
        if most < 2:
            return deque()
        self.pump(0)
        frames = []
        for unit in islice(inputs.ready, most):
            if not isinstance(unit, dict):  # a gap has its turn too
                break
            frames += [arrival.frame for arrival in unit.values()]
        return done_together(self.block, frames) if len(frames) > 1 else deque()

    def _step(self, unit: dict[str, Arrival] | wire.Gap, done: Done | None = None) -> None:
        block = self.block
        if not isinstance(unit, dict):
            if not block.renumber:
                for sender in self._all_senders:
                    sender.give_gap(*unit)
            return
        inputs = self._inputs
        assert inputs is not None
        counters = self.counters
        begin = time.perf_counter_ns()
        begin_ns = time.time_ns()
        frames = {port: arrival.frame for port, arrival in unit.items()}
        self._blocked_ns = 0
        given = set()
        output: Frame | None = None
        try:
            for port, output in call(block, frames, self.numbering, done):
                given.add(port)
                self._emit(port, output)
        except SkipFrame as skip:
            counters.skips[skip.reason] += 1
        counters.work.add(time.perf_counter_ns() - begin - self._blocked_ns + (done.work_ns if done else 0))
        if done is not None:
            begin = done.begin_ns
        for arrival in unit.values():  # counted behind the work, which then begins sooner
            counters.wait.add(begin - arrival.at_ns)
            stream, seq, t0_ns = arrival.frame.stream, arrival.frame.seq, arrival.frame.t0_ns
            del arrival.frame
        counters.age.add(begin_ns - t0_ns)
        frames.clear()
        output = None  # with the last reference to its arrays, a frame's slot goes back beside the credit
        # Credit only now: the frame at hand counts, so with credit 2 one is worked on and one waits. Granting first
        # would let a third come, older by one more work time, and cost the frame the time of sending the grant.
        for arrival in unit.values():
            inputs.taken(arrival)
        if len(given) < len(self._senders) and not block.renumber:
            for port, senders in self._senders.items():
                if port not in given:
                    for sender in senders:
                        sender.give_gap(stream, seq, seq)

    def _generate(self) -> None:
        block = self.block
        generator = iter(block.frames())
        items = source_items(block, generator)
        try:
            while not (self.draining or self.halted):
                if self._lost:
                    self._raise_lost()
                if self._sets:
                    self._apply_sets()
                if self.held or not self._outputs_ready():
                    self.pump(IDLE_MS)
                    continue
                begin = time.perf_counter_ns()
                self._blocked_ns = 0
                try:
                    item = next(items)
                except StopIteration:
                    return
                self.counters.work.add(time.perf_counter_ns() - begin - self._blocked_ns)
                if isinstance(item, SkipFrame):
                    self.skip(item.reason)
                else:
                    for port, frame in by_port(block, item):
                        stamp(block, port, frame, self.numbering)
                        self._emit(port, frame)
                if time.perf_counter_ns() - self._pumped_ns > PUMP_EVERY_NS:
                    self.pump(0)
        finally:
            if isinstance(generator, Iterator) and hasattr(generator, "close"):
                generator.close()

    def _emit(self, port: str, frame: Frame) -> None:
        senders = self._senders.get(port)
        if senders:
            parcel = Parcel(frame, self._pack)
            try:
                for sender in senders:
                    if not sender.ready:
                        self._await_ready(sender)
                    sender.give(parcel)
            finally:
                parcel.close()
        self.counters.frames_out[port] += 1

    def _await_ready(self, sender: Sender) -> None:
        begin = time.perf_counter_ns()
        while not sender.ready:
            self.pump(IDLE_MS)
            if self.halted:
                raise Halted
        self._blocked_ns += time.perf_counter_ns() - begin

    def _outputs_ready(self) -> bool:
        senders = self._all_senders
        if len(senders) == 1:  # the usual case, without a generator
            return senders[0].ready or senders[0].ready_now()
        return all(sender.ready or sender.ready_now() for sender in senders)


def run_node(node: Node) -> None:
    """Thread body: a node that cannot even report is logged."""
    try:
        node.run()
    except BaseException:
        logging.getLogger("semstream").exception("node %s", node.spec.node)
