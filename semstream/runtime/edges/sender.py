"""Sending end of an edge: a ROUTER that sends to a receiver only what the receiver has granted credit for.

      sender (ROUTER, binds)                    receiver (DEALER, connects)
           <-- hello {node, credit: 2} ----------
           --- share {pid, fd} ------------------>  between processes of one run: where large arrays are
           <-- share {found: true} --------------  only now its credit counts
           --- data -----------------------------> works, then grants
           --- data ----------------------------->
           (no credit: waits, or drops by policy)
           <-- credit {n: 1} | leases -----------
           --- eos ------------------------------>

Several receivers on one edge (replicas) share the work: each frame goes to the one with the most credit.
"""

from __future__ import annotations

import errno
import logging
import time
from collections import deque
from typing import Any

import zmq

from semstream.runtime.counters import NodeCounters
from semstream.runtime.edges import sockets
from semstream.runtime.edges.credit import CREDITS, LEASE, PING, hello_of, refusal_of
from semstream.runtime.edges.handles import Mailbox, Mailboxes
from semstream.runtime.edges.parcel import Form, Parcel, Shared, let_go, note_gap, with_gaps
from semstream.runtime.edges.slots import WARM_BYTES, Lease, Pool
from semstream.runtime.edges.sockets import MORE_NOBLOCK, NOBLOCK, RCVMORE, SNDMORE, Socket
from semstream.runtime.errors import FlowgraphError, WireError
from semstream.runtime.frames import wire
from semstream.runtime.frames.handover import Offer
from semstream.runtime.frames.types import ANY, PortType
from semstream.runtime.graph.nodes import OutputSpec

PROBE_S = 1.0


class Sender:
    """One edge, seen from the block that gives."""

    def __init__(
        self,
        context: zmq.Context[Socket],
        spec: OutputSpec,
        port_type: PortType,
        block: str,
        counters: NodeCounters,
        log: logging.Logger,
        mailboxes: Mailboxes | None = None,
        pool: Pool | None = None,
    ) -> None:
        self.spec = spec
        self.port_type = port_type
        self.block = block
        self.counters = counters
        self.log = log
        self.lossless = spec.policy == "block"
        self.credit: dict[bytes, int] = {}
        self.total = 0
        self.queue: deque[tuple[str, int, Form, int]] = deque()
        self.gaps: list[list[Any]] = []
        self.discarding = self.stopping = False
        self.lost = ""
        self.retired: set[bytes] = set()
        self._granted: dict[bytes, int] = {}
        self._node_of: dict[bytes, str] = {}
        self._awaited = set(spec.consumers)
        self._probed = time.monotonic()
        self._mailboxes = mailboxes if spec.endpoint.startswith("inproc://") else None
        self._mailbox_of: dict[bytes, Mailbox] = {}
        self._pool = pool if spec.shares_memory else None
        self._leases: dict[bytes, dict[int, Lease]] = {}
        self._asked: dict[bytes, tuple[str, int]] = {}
        self._apart: dict[bytes, str] = {}
        if self._pool is not None and not self.lossless:
            self._pool.allow(spec.depth)
        self._authenticator: Any = None
        # ZeroMQ asks one authenticator a context, and each edge to another flowgraph has keys of its own.
        self._own = zmq.Context() if spec.remote and spec.curve is not None else None
        patience_ms = sockets.DEAD_MS if spec.leaves_host else 0
        self.socket = sockets.open_socket(self._own or context, zmq.ROUTER, wire.MAX_HEADER_BYTES, patience_ms)
        self.socket.router_mandatory = True
        if spec.curve is not None:  # within a run, who has placed this node has started the authenticator
            self._authenticator = sockets.secure_server(self.socket, self._own, spec.curve)
        try:
            self.socket.bind(spec.endpoint)
        except zmq.ZMQError as error:
            self.close(0)
            why = sockets.BIND_ERRORS.get(error.errno or 0, str(error))
            where = f"block {block!r}, port {spec.port!r}: cannot listen on {spec.endpoint}"
            raise FlowgraphError(f"{where}: {why}; stop what holds it or choose another endpoint", block) from None

    @property
    def ready(self) -> bool:
        """Whether a frame given now is taken without waiting."""
        return not self.lossless or self.total > 0 or self.discarding

    def ready_now(self) -> bool:
        """`ready` once credit that has come meanwhile is counted: cheaper than a poll of all sockets."""
        self.on_readable()
        return self.ready

    @property
    def settled(self) -> bool:
        """Whether nothing is left to send and every receiver has said hello, so that EOS reaches all of them."""
        waits_for_one = self.spec.remote and not self.credit and not self.stopping
        return self.discarding or not (self.queue or self.gaps or self._awaited or waits_for_one)

    @property
    def delivered(self) -> bool:
        """Whether the end has reached the receivers, as far as this end can know."""
        return True

    def give(self, parcel: Parcel) -> None:
        """Send a frame, or queue it where the policy allows frames to be lost. Lossless edges need `ready` first."""
        if self.discarding:
            self.counters.drops[f"{self.spec.edge}: receiver gone"] += 1
            return
        form = self._form(parcel)
        if not (self.total or self.lossless):
            self.on_readable()  # between two frames of a busy block nobody else has looked
        if self.total and not self.queue:
            self._transmit(form, parcel.nbytes)
            return
        if isinstance(form, Shared):
            form.lease.hold()
        self.queue.append((parcel.frame.stream, parcel.frame.seq, form, parcel.nbytes))
        while not self.lossless and len(self.queue) > self.spec.depth:
            old = self.queue.popleft()
            let_go(old[2])
            self.counters.drops[f"{self.spec.edge}: {self.spec.policy}"] += 1
            note_gap(self.gaps, old[0], old[1], old[1])
        self.flush()

    def give_gap(self, stream: str, first: int, last: int) -> None:
        """Tell the receivers that these frames will not come; never waits."""
        if not self.discarding:
            note_gap(self.gaps, stream, first, last)
            self.flush()

    def flush(self) -> None:
        """Send what credit allows."""
        while self.total and self.queue:
            _, _, form, nbytes = self.queue.popleft()
            self._transmit(form, nbytes)
            let_go(form)
        if self.total and self.gaps:
            header = wire.control("gap", gaps=self.gaps)
            self.gaps = []
            self._transmit([header], 0)
        self.counters.queue[f"{self.spec.edge} (out)"] = len(self.queue)

    def end(self, kind: str = "eos", text: str = "") -> None:
        """Tell every receiver that nothing more comes."""
        self.flush()
        header = wire.control(kind, text=text[:10_000], block=self.block)
        for identity in list(self.credit):
            self._send(identity, [header])

    def close(self, linger_ms: int = sockets.LINGER_MS) -> None:
        """Close the socket; what is sent still has `linger_ms` to leave."""
        self.socket.close(linger_ms)
        if self._authenticator is not None:
            self._authenticator.stop()
            self._authenticator = None
        if self._own is not None:
            self._own.term()
            self._own = None

    def on_readable(self) -> None:
        """Take credit and hellos."""
        granted = False
        socket = self.socket
        while sockets.readable(socket):
            try:
                parts = [socket.recv(NOBLOCK)]
                while socket.get(RCVMORE):
                    parts.append(socket.recv(NOBLOCK))
            except zmq.ZMQError as error:
                if error.errno == errno.EHOSTUNREACH:
                    continue
                raise
            identity = parts[0]
            try:
                count = CREDITS.get(parts[1]) if 1 < len(parts) < 4 else None
                if count is None:
                    self._on_message(identity, wire.decode(parts[1:], ANY))
                    granted = True
                    continue
                limit = self._granted.get(identity)
                if limit is None and self._is_retired(identity):
                    continue
                if limit is None:
                    raise WireError("no_hello", "credit from a peer that has not said hello")
                if len(parts) == 3:
                    self._take_back(identity, parts[2])
            except WireError as error:
                self.counters.bad[error.reason] += 1
                self.log.warning("port %s: bad message from a receiver dropped: %s", self.spec.port, error)
                continue
            have = self.credit[identity]
            count = min(count, limit - have)
            self.credit[identity] = have + count
            self.total += count
            granted = True
        if granted and (self.queue or self.gaps):
            self.flush()

    def _is_retired(self, identity: bytes) -> bool:
        """Whether this may be an earlier connection of a receiver, whose last words come over one of ZeroMQ's own."""
        return identity in self.retired

    def on_dead(self, node: str) -> None:
        """Forget a receiver of this run that has failed."""
        self._awaited.discard(node)
        self._forget_node(node)
        if node in self.spec.consumers and not self.credit and not self._awaited:
            self._discard()

    def probe(self) -> None:
        """Once a second, find out which receivers in other flowgraphs are gone."""
        if not self.spec.remote or time.monotonic() - self._probed < PROBE_S:
            return
        self._probed = time.monotonic()
        for identity in list(self.credit):
            self._send(identity, [PING])

    def _on_message(self, identity: bytes, message: wire.Message) -> None:
        fields = message.fields
        if message.kind == "bye":
            if identity in self.credit:
                self._peer_left(identity, "left before the end of the stream")
            return
        if message.kind == "share" and identity in self._asked:
            known = self._asked.pop(identity)
            if fields.get("found") is not True:
                self._apart[identity] = str(fields.get("why"))[:1000]
            self._admit(identity, *known)
            return
        if message.kind == "credit":
            raise WireError("credit", "an odd credit message")
        if message.kind != "hello":
            raise WireError("kind", f"a receiver sends no {message.kind}")
        node, count = hello_of(fields)
        if self.spec.remote:
            refusal = refusal_of(fields, self.port_type)
            if refusal is not None:
                text = f"block {node!r} and block {self.block!r}, port {self.spec.port!r} do not fit: {refusal}"
                self._raw_send(identity, wire.control("error", text=text, block=self.block))
                raise WireError("hello_type", text)
            what = {"type": self.port_type.describe(), "policy": self.spec.policy}
            self._raw_send(identity, wire.control("hello", block=self.block, port=self.spec.port, **what))
        if identity in self.credit or identity in self._asked:
            return
        if self._mailboxes is not None:
            mailbox = self._mailboxes.find(fields.get("mailbox"))
            if mailbox is None:
                raise WireError("hello", "it has no mailbox in this run")
            self._mailbox_of[identity] = mailbox
        pool = self._pool
        if pool is not None:
            hold = fields.get("hold")
            pool.allow(hold if type(hold) is int and 0 < hold <= wire.MAX_CREDIT else count)
            if pool.address is not None:  # it gets credit once it has said whether it finds the memory
                self._asked[identity] = (node, count)
                self._raw_send(identity, wire.control("share", pid=pool.address[0], fd=pool.address[1]))
                return
        self._admit(identity, node, count)

    def _admit(self, identity: bytes, node: str, count: int) -> None:
        if self.spec.spans_hosts:
            self._forget_node(node)  # it has been started again
        self.total += count
        self.credit[identity] = self._granted[identity] = count
        self._node_of[identity] = node
        self._leases[identity] = {}
        self._awaited.discard(node)

    def _form(self, parcel: Parcel) -> Form:
        """What this edge sends of a frame; what should have gone through shared memory and cannot is counted."""
        if self._mailboxes is not None:
            return parcel.offer()
        pool = self._pool
        if pool is None or not self.credit or not parcel.is_large:
            return parcel.parts()
        why = next(iter(self._apart.values()), "")
        if not why:
            if parcel.nbytes >= WARM_BYTES:
                self.on_readable()  # the slot that came back last is the best one
            shared = parcel.shared(pool)
            if shared is not None:
                return shared
            why = pool.lack
        self.counters.copies[f"{self.spec.edge}: {why}"] += 1
        return parcel.parts()

    def _take_back(self, identity: bytes, numbers: bytes) -> None:
        """End the leases that a receiver gives back."""
        if len(numbers) % 8:
            raise WireError("slot", "leases are not numbers of 8 bytes")
        leases = self._leases[identity]
        for (number,) in LEASE.iter_unpack(numbers):
            lease = leases.pop(number, None)
            if lease is None:
                raise WireError("slot", f"lease {number} given back by one that has it not")
            lease.release()

    def _transmit(self, form: Form, nbytes: int, identity: bytes = b"") -> None:
        credit = self.credit
        identity = identity or (next(iter(credit)) if len(credit) == 1 else max(credit, key=credit.__getitem__))
        gaps = self.gaps
        if gaps:
            self.gaps = []
        credit[identity] -= 1
        self.total -= 1
        if isinstance(form, Offer):
            mailbox = self._mailbox_of[identity]
            handle = mailbox.put((form, [(stream, first, last) for stream, first, last in gaps] if gaps else ()))
            sent = self._send(identity, [handle])
            if not sent:
                mailbox.take(handle)
        else:
            lease = None
            if not isinstance(form, Shared):
                parts = form
            elif identity in self._apart:  # it came while the frame was waiting
                parts = form.parcel.parts()
            else:
                parts, lease = form.parts, form.lease
                lease.hold()
                self._leases[identity][lease.number] = lease
            sent = self._send(identity, [with_gaps(parts[0], gaps), *parts[1:]] if gaps else parts)
        if sent:
            self.counters.bytes_out[self.spec.edge] += nbytes

    def _send(self, identity: bytes, parts: list[Any]) -> bool:
        try:
            send = self.socket.send
            send(identity, MORE_NOBLOCK)
            if len(parts) > 1:
                for part in parts[:-1]:
                    send(part, SNDMORE, copy=len(part) < wire.ZERO_COPY_BYTES)
            last = parts[-1]
            send(last, copy=len(last) < wire.ZERO_COPY_BYTES)
            return True
        except zmq.ZMQError as error:
            if error.errno not in (errno.EHOSTUNREACH, errno.EAGAIN):
                raise
            if identity in self.credit:
                self.on_readable()  # it may have said why
            if identity in self.credit:
                self._peer_left(identity, "is gone (killed, unreachable, or silent for 3 s)")
            return False

    def _raw_send(self, identity: bytes, header: bytes) -> None:
        try:
            self.socket.send_multipart([identity, header], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            self.log.debug("answer to a receiver not sent: %s", error)

    def _peer_left(self, identity: bytes, why: str) -> None:
        node = self._node_of[identity]
        if self.spec.spans_hosts:
            self._awaited.add(node)  # the owner says whether it comes again
            return self._forget_node(node)
        self._forget(identity)
        if self.spec.remote:
            self.lost = self.lost or f"receiver {node!r} of port {self.spec.port!r} on {self.spec.endpoint} {why}"
        if not self.credit and (self.spec.remote or not self._awaited):
            self._discard()

    def _forget_node(self, node: str) -> None:
        """Forget a receiver of this run that has died; between hosts, count what was under way to it."""
        for identity in [i for i, n in self._node_of.items() if n == node]:
            under_way = self._granted[identity] - self.credit[identity]
            if self.spec.spans_hosts and under_way:
                self.counters.drops[f"{self.spec.edge}: under way to {node} when it died"] += under_way
            self._forget(identity)

    def _forget(self, identity: bytes) -> None:
        self.total -= self.credit.pop(identity, 0)
        self._granted.pop(identity, None)
        self._node_of.pop(identity, None)
        self._mailbox_of.pop(identity, None)
        self._apart.pop(identity, None)
        # It may still read what it has not given back: those slots are not used again.
        self._leases.pop(identity, None)

    def _discard(self) -> None:
        self.discarding = True
        if self.queue:
            self.counters.drops[f"{self.spec.edge}: receiver gone"] += len(self.queue)
        for waiting in self.queue:
            let_go(waiting[2])
        self.queue.clear()
        self.gaps = []
