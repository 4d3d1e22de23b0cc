"""AccountedNode: a node that knows what it owes and what it is owed, so that another life can go on where it stood."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from semstream.runtime.block.block import Block
from semstream.runtime.durable.ledger import Key, Ledger, Unit
from semstream.runtime.durable.order import Done
from semstream.runtime.durable.receiver import DurableInputs
from semstream.runtime.durable.resuming import ResumingSender
from semstream.runtime.durable.sender import DurableSender
from semstream.runtime.durable.store import (
    Ring,
    Store,
    lost_for_good,
    pack_state,
    unpack_state,
)
from semstream.runtime.edges.order import Ranges
from semstream.runtime.edges.sender import Sender
from semstream.runtime.engines.node import Node
from semstream.runtime.errors import SemstreamError
from semstream.runtime.frames import wire
from semstream.runtime.frames.types import PortType
from semstream.runtime.graph.nodes import NodeSpec, OutputSpec


class AccountedNode(Node):
    """What a life of a node has beside its two loops: accounts, snapshots, neighbours that may come back."""

    def __init__(self, store: Store, spec: NodeSpec, block: Block, *arguments: Any) -> None:
        super().__init__(spec, block, *arguments)
        assert spec.guard is not None
        self.guard = spec.guard
        self._store = store
        merges = len(spec.inputs) > 1 or any(len(entry.endpoints) > 1 for entry in spec.inputs)
        own = type(block).snapshot is not Block.snapshot or bool(type(block).state)
        self._ledger = Ledger(self._on_complete, block.is_source or block.renumber or merges or own)
        self._untold = True
        self._durable_inputs: DurableInputs | None = None
        self._done: Done = {}
        self._earlier: dict[str, Any] | None = None
        self._items = 0
        self._ring: Ring | None = None
        self._took_s = 0.0
        self._skipped: list[tuple[str, int]] = []
        self._forwarding = self._muted = self._restored = self._again = self._whole = False
        self._unkept: deque[Unit | tuple[int, int] | None] = deque()
        self._places: tuple[object, int] = (None, 0)
        self._renewed: list[str] = []

    # -- opening ---------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self.block.run, self.block.restarts = self.guard.run, self.guard.life
        self.block.resumes = self.guard.outlives  # until the stream has ended
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
            ledger.hold((self._items, self._snapshot() if self.guard.keeps else b""))
            self._took_s = time.monotonic() - begin
        valid = ledger.valid
        if valid is not None:
            begin = time.monotonic()
            items, data = valid
            if data:
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


def _copied(ranges: Ranges) -> Ranges:
    copy = Ranges()
    for first, last in ranges:
        copy.add(first, last)
    return copy
