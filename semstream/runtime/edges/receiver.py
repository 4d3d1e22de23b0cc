"""Receiving end of the edges of one node: links that grant credit, order restored, inputs joined."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import zmq

from semstream.runtime.block.block import In
from semstream.runtime.counters import NodeCounters
from semstream.runtime.edges import sockets
from semstream.runtime.edges.handles import MARK, Mailboxes
from semstream.runtime.edges.link import Arrival, InputPort, Link
from semstream.runtime.edges.order import Join
from semstream.runtime.edges.remote_link import RemoteLink
from semstream.runtime.edges.sockets import NOBLOCK, RCVMORE, Socket
from semstream.runtime.errors import WireError
from semstream.runtime.frames import handover, wire
from semstream.runtime.frames.frame import Frame
from semstream.runtime.graph.nodes import InputSpec

ALONE_NS = 300_000
"""A frame that comes over a link after this long is worked on before the link is looked at again."""
CUT_S = 60.0
"""Within one run the owner says soon when a sender has died; a link that is cut for so long has another reason."""
QUIET_S = 0.1
"""A link whose sender has died is drained until nothing has come for this long."""


class Inputs:
    """All input ports of a node; `ready` holds what the block can be called with, in order.

    An entry of `ready` is (arrivals by port) or a gap that goes on downstream.
    """

    port_type: type[InputPort] = InputPort

    def __init__(
        self,
        context: zmq.Context[Socket],
        specs: list[InputSpec],
        declared: dict[str, In],
        node: str,
        counters: NodeCounters,
        log: logging.Logger,
        mailboxes: Mailboxes | None = None,
    ) -> None:
        self.counters = counters
        self.log = log
        by_port = {spec.port: spec for spec in specs}
        declared = {name: port for name, port in declared.items() if name in by_port}  # others are optional
        joined = len(declared) > 1
        self.ports = [
            self.port_type(context, spec, port, node, mailboxes, joined, RemoteLink if spec.numbered else None)
            for port, spec in ((port, by_port[name]) for name, port in declared.items())
        ]
        self.join: Join[Arrival] | None = Join(declared) if len(declared) > 1 else None
        self.ready: deque[dict[str, Arrival] | wire.Gap] = deque()
        self.lost = ""

    @property
    def links(self) -> list[Link]:
        """Every link of every port."""
        return [link for port in self.ports for link in port.links]

    @property
    def ended(self) -> bool:
        """Whether every port has ended; `ready` may still hold frames."""
        return all(port.ended for port in self.ports)

    @property
    def draining(self) -> bool:
        """Whether frames of a sender that is gone may still come."""
        return any(link.silent_since and not link.ended for link in self.links)

    def on_readable(self, link: Link) -> None:
        """Take every message that has come over a link."""
        if link.silent_since:
            link.silent_since = time.monotonic()
        socket, mailbox = link.socket, link.mailbox
        try:
            while not link.ended:
                first = socket.recv(NOBLOCK)
                try:
                    handed = mailbox.take(first) if mailbox is not None else None
                    if handed is not None:
                        offered, gaps = handed
                        frame = handover.accept(offered, link.port.declared.type)
                        alone = self._on_frame(link, frame, gaps)
                    else:
                        parts = _all_parts(socket, first)
                        if mailbox is not None and first[:1] == MARK:
                            raise WireError("handle", f"{first[1:20]!r} stands for no frame")
                        if link.numbered and not link.arrives(parts):
                            continue
                        message = wire.decode(parts, link.port.declared.type, link.slots)
                        if message.frame is not None and link.numbered and not link.in_time(message.frame):
                            self._on_late(link, message.frame, message.gaps)
                            alone = False
                        elif message.frame is not None:
                            alone = self._on_frame(link, message.frame, message.gaps)
                        else:
                            alone = False
                            self._on_control(link, message)
                except WireError as error:
                    self.counters.bad[error.reason] += 1
                    self.log.warning("port %s: bad message from %s dropped: %s", link.port.name, link.endpoint, error)
                    link.grant()  # it may have used up credit; the sender caps what is too much
                    alone = False
                if (alone and not link.remote) or not sockets.readable(socket):
                    return  # a frame that comes alone is worked on at once
        except zmq.Again:
            return

    def on_monitor(self, link: Link) -> None:
        """Note that the connection to another flowgraph, or to another host of this run, is lost."""
        if link.monitor is None:
            return
        for event in sockets.monitor_events(link.monitor):
            if not link.remote:
                if event == zmq.EVENT_DISCONNECTED and not link.ended and not link.silent_since:
                    link.cut_since = link.cut_since or time.monotonic()
            elif event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                self._lose(link, f"{link.endpoint} refused this end's CURVE key; list it in the listener's clients")
            elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED and link.numbered:
                self.on_readable(link)  # all that the old connection has brought is counted before the new one is used
                link.on_connected()
            elif event == zmq.EVENT_DISCONNECTED and link.greeted and not link.ended and not link.silent_since:
                if link.on_disconnected():
                    self.log.warning("port %s: the sender at %s is away; waiting", link.port.name, link.endpoint)
                    continue
                link.silent_since = time.monotonic()
                self.lost = self.lost or (
                    f"port {link.port.name!r}: the sender at {link.endpoint} is gone before the end of the stream "
                    f"(killed, unreachable, silent for 3 s, or over the limit of {link.limit} bytes a message)"
                )

    def on_dead(self, node: str) -> None:
        """Drain the links of a sender of this run that has failed."""
        for link in self.links:
            if link.producer == node and not link.ended and not link.silent_since:
                link.silent_since = time.monotonic()

    def move(self, node: str, endpoints: dict[str, str]) -> None:
        """Go to a sender of this run that has been started again, with new endpoints by their old ones."""
        for link in self.links:
            if link.producer == node and link.endpoint in endpoints and not link.ended:
                while sockets.readable(link.socket) and not link.ended:
                    self.on_readable(link)
                link.move(endpoints[link.endpoint])

    def leave(self) -> None:
        """The run is stopping: tell senders in other flowgraphs, and take what is already under way."""
        for link in self.links:
            if link.remote and not link.ended and not link.silent_since:
                link.say_bye()
                link.silent_since = time.monotonic()

    def check_time(self) -> None:
        """End links that were drained, and give up on peers that are not there."""
        now = time.monotonic()
        for port in self.ports:
            for link in port.links:
                if link.numbered and (why := link.check(now)):
                    self._lose(link, f"port {port.name!r}: {why}")
                if link.ended:
                    continue
                if link.slots is not None and link.slots.has_given_back:
                    link.settle()
                if link.silent_since and now - link.silent_since > QUIET_S:
                    self._end(link)
                elif link.cut_since and now - link.cut_since > CUT_S:
                    self._lose(
                        link,
                        f"port {port.name!r}: the connection to {link.producer!r} at {link.endpoint} is lost, though "
                        "both ends live; check the network between their hosts",
                    )
                elif not link.greeted and now - link.opened > port.spec.connect_timeout_s:
                    there = port.spec.peer or "the flowgraph that listens there"
                    self._lose(
                        link,
                        f"port {port.name!r}: nobody answers at {link.endpoint} after {port.spec.connect_timeout_s:g} "
                        f"s; start {there}, or check host, port and CURVE keys",
                    )

    def taken(self, arrival: Arrival) -> None:
        """Grant credit for a frame that has been worked on, once."""
        if not arrival.granted:
            arrival.granted = True
            arrival.link.grant()

    def _on_frame(self, link: Link, frame: Frame, gaps: Sequence[wire.Gap]) -> bool:
        """Take a frame; returns whether none has come over this link for a while before it."""
        port = link.port
        for gap in gaps:
            self._on_gap(port, gap)
        if link.last is not None:
            self._follow(link, frame)
        now = time.perf_counter_ns()
        alone = now - link.last_ns > ALONE_NS
        link.last_ns = now
        arrival = Arrival(frame, link, now)
        if port.reorder is None:
            self._deliver(port, arrival)
        else:
            released = port.reorder.push(link.index, (frame.stream, frame.seq), arrival)
            for _, other in released:
                self._deliver(port, other)
            if all(other is not arrival for _, other in released):
                self._grant_early(port, arrival, port.reorder.held_of[link.index])
        counters = self.counters
        counters.frames_in[port.name] += 1
        counters.bytes_in[port.name] += frame.nbytes
        depth = len(self.ready)
        if depth > counters.queue_peak[port.name]:
            counters.queue_peak[port.name] = depth
        return alone

    def _follow(self, link: Link, frame: Frame) -> None:
        """Count what has not come because its sender died."""
        assert link.last is not None
        before = link.last.get(frame.stream, -1)
        link.last[frame.stream] = frame.seq
        if link.moved and link.port.reorder is None:
            link.moved = False
            if frame.seq > before + 1:
                self.counters.drops[f"{link.port.name}: lost with {link.producer}"] += frame.seq - before - 1
                self.log.warning(
                    "port %s: frames %d to %d of stream %s were lost with %s",
                    link.port.name, before + 1, frame.seq - 1, frame.stream, link.producer,
                )  # fmt: skip

    def _on_late(self, link: Link, frame: Frame, gaps: Sequence[wire.Gap]) -> None:
        """Leave out a frame of a live edge that was held up on its way."""
        for gap in (*gaps, (frame.stream, frame.seq, frame.seq)):
            self._on_gap(link.port, gap)
        self.counters.drops[f"{link.port.name}: late"] += 1
        link.grant()

    def _on_control(self, link: Link, message: wire.Message) -> None:
        for gap in message.gaps:
            self._on_gap(link.port, gap)
        if message.kind == "gap":
            link.grant()
        elif message.kind == "eos":
            self._end(link)
        elif message.kind == "error":
            if link.remote:
                self._lose(link, f"port {link.port.name!r}: {str(message.fields.get('text'))[:10_000]}")
            self._end(link)
        elif message.kind == "hello":
            link.on_hello(message.fields)
        elif message.kind == "share":
            link.find_memory(message)
        elif message.kind != "ping":
            raise WireError("kind", f"a sender sends no {message.kind}")

    def _deliver(self, port: InputPort, arrival: Arrival) -> None:
        join = self.join
        if join is None:
            self.ready.append({port.name: arrival})
            return
        frame = arrival.frame
        complete, unmatched, gaps = join.push(port.name, (frame.stream, frame.seq), arrival)
        self._drop(unmatched, gaps)
        if complete is not None:
            self.ready.append(complete)
        elif not unmatched:
            self._grant_early(port, arrival, join.held_of[port.name])

    def _grant_early(self, port: InputPort, arrival: Arrival, held: int) -> None:
        """Grant credit for a frame that waits for another one, as long as the buffer has room.

        Else a join would stop one path after `credit` frames, before the other path has its pipeline full.
        """
        if held < port.declared.buffer:
            self.taken(arrival)

    def _on_gap(self, port: InputPort, gap: wire.Gap) -> None:
        if port.reorder is not None:
            for _, released in port.reorder.gap(gap):
                self._deliver(port, released)
        if self.join is None:
            self.ready.append(gap)
        else:
            self._drop(*self.join.gap(gap))

    def _drop(self, unmatched: list[Arrival], gaps: list[wire.Gap]) -> None:
        for arrival in unmatched:
            self.counters.drops[f"{arrival.link.port.name}: unmatched"] += 1
            del arrival.frame
            self.taken(arrival)
        self.ready.extend(gaps)

    def _end(self, link: Link) -> None:
        if link.ended:
            return
        link.finish()
        port = link.port
        if port.reorder is not None:
            for _, released in port.reorder.end(link.index):
                self._deliver(port, released)
        if all(other.ended for other in port.links):
            port.ended = True
            if self.join is not None:
                self._drop(*self.join.end(port.name))

    def _lose(self, link: Link, why: str) -> None:
        self.lost = self.lost or why
        self._end(link)


def _all_parts(socket: Socket, first: bytes) -> list[Any]:
    parts: list[Any] = [first]
    more = socket.get(RCVMORE)
    while more:
        part = socket.recv(NOBLOCK, copy=False)
        parts.append(part.buffer)
        more = part.more
    return parts
