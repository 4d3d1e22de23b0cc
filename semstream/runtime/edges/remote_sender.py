"""Sending end of an edge to other flowgraphs: what is under way is kept until it has come, over as many connections as
that takes (`semstream.runtime.edges.numbers`)."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import Any

import zmq

from semstream.runtime.counters import NodeCounters
from semstream.runtime.edges import numbers
from semstream.runtime.edges.handles import Mailboxes
from semstream.runtime.edges.parcel import Form, note_gap, with_gaps
from semstream.runtime.edges.sender import Sender
from semstream.runtime.edges.slots import Pool
from semstream.runtime.edges.sockets import Socket
from semstream.runtime.errors import WireError
from semstream.runtime.frames import wire
from semstream.runtime.frames.types import PortType
from semstream.runtime.graph.nodes import OutputSpec


class Session:
    """One receiver, whatever connection it has at the moment."""

    def __init__(self, name: str, node: str, most: int, lossless: bool) -> None:
        self.name = name
        self.node = node
        self.most = most
        self.lossless = lossless
        self.identity: bytes | None = None
        self.away_since = 0.0
        self.sent = 0
        self.kept: deque[list[Any]] = deque()
        self._echo = self._echo_at = 0

    def heard(self, received: int, now_ns: int) -> None:
        """Note what has come to the receiver, and its time."""
        if not self.sent - len(self.kept) <= received <= self.sent:
            raise WireError("received", f"{received} have come, and {self.sent} were sent")
        while self.sent - len(self.kept) < received:
            self.kept.popleft()
        self._echo, self._echo_at = now_ns, time.monotonic_ns()

    def add(self, parts: list[Any]) -> list[Any]:
        """Number a message, and keep it; of a live edge the header alone, to say what has not come."""
        self.sent += 1
        self.kept.append(parts if self.lossless else parts[:1])
        return self.numbered(parts, self.sent)

    def numbered(self, parts: list[Any], number: int) -> list[Any]:
        """A message with its number behind it."""
        hop = numbers.pack_hop(number, self._echo, time.monotonic_ns() - self._echo_at, time.time_ns())
        return [*parts, hop]


class RemoteSender(Sender):
    """One edge to receivers in other flowgraphs; those that number their messages may lose their connection."""

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
        self._sessions: dict[str, Session] = {}
        self._session_of: dict[bytes, Session] = {}
        self._opened = time.monotonic()
        self._ended = False
        super().__init__(context, spec, port_type, block, counters, log, mailboxes, pool)

    @property
    def settled(self) -> bool:
        """Whether all has come that was sent."""
        kept = any(session.kept for session in self._sessions.values())
        return super().settled and (self.discarding or self.stopping or not kept)

    @property
    def delivered(self) -> bool:
        """Whether the end has come, or nobody is left to tell."""
        now, patience = time.monotonic(), self.spec.reconnect_s
        waits = [s for s in self._sessions.values() if s.kept]
        return self.stopping or not any(s.identity or now - s.away_since < patience for s in waits)

    def end(self, kind: str = "eos", text: str = "") -> None:
        """Tell every receiver that nothing more comes; one that is away hears of the end when it is back."""
        if kind != "eos":
            super().end(kind, text)
            return
        self.flush()
        self._ended = True
        header = wire.control(kind, text=text[:10_000], block=self.block)
        for session in list(self._sessions.values()):
            message = session.add([header])
            if session.identity is not None:
                self._send(session.identity, message)
        for identity in [i for i in self.credit if i not in self._session_of]:
            self._send(identity, [header])

    def probe(self) -> None:
        """Find out who is gone, and who has not come back or not come at all."""
        super().probe()
        now, spec = time.monotonic(), self.spec
        for session in [s for s in self._sessions.values() if s.identity is None]:
            if now - session.away_since > spec.reconnect_s and (session.kept or not self._ended):
                self._give_up(session, f"is gone: out of reach for {spec.reconnect_s:g} s")
        if spec.peer and self._awaited and not self.stopping and now - self._opened > spec.connect_timeout_s:
            self.lost = self.lost or (
                f"{spec.peer} has not come to {spec.endpoint} within {spec.connect_timeout_s:g} s; start it there, or "
                "check addresses and CURVE keys"
            )

    # -- messages of receivers -------------------------------------------------------------------------------------

    def _on_message(self, identity: bytes, message: wire.Message) -> None:
        name = message.fields.get("session")
        if message.kind == "bye" and identity in self._session_of:
            self._give_up(self._session_of[identity], "left before the end of the stream")
        elif message.kind == "hello" and name is not None:
            self._on_hello(identity, message)
        else:
            super()._on_message(identity, message)

    def _on_hello(self, identity: bytes, message: wire.Message) -> None:
        fields = message.fields
        name, received, granted = fields.get("session"), fields.get("received"), fields.get("granted")
        most, now = fields.get("most"), fields.get("now")
        whole = [v for v in (received, granted, most, now) if type(v) is int and 0 <= v <= numbers.MOST_NS]
        if type(name) is not str or len(name) > 64 or len(whole) != 4:
            raise WireError("hello", "a session without its numbers")
        received, granted, most, now = whole
        session = self._sessions.get(name)
        if session is None:
            self._check_new(identity, fields, name, received)
            super()._on_message(identity, message)
            if identity not in self.credit:
                return
            node = self._node_of[identity]
            session = self._sessions[name] = Session(name, node, min(most, wire.MAX_CREDIT), self.lossless)
            session.heard(0, now)
        else:
            session.heard(received, now)
            self._resume(identity, session, granted)
        session.identity = identity
        self._session_of[identity] = session
        self._granted[identity] = session.most
        for number, parts in enumerate(list(session.kept), session.sent - len(session.kept) + 1):
            if session.identity == identity:  # else it was lost again
                self._send(identity, session.numbered(parts, number))

    def _check_new(self, identity: bytes, fields: dict[str, Any], name: str, received: int) -> None:
        """Refuse one that cannot begin here, and tell it why."""
        spec, node = self.spec, fields.get("node")
        text = ""
        if received:
            text = f"block {self.block!r} was started anew and does not know where {node!r} was; start both anew"
        elif spec.peer and fields.get("edge") != spec.edge:
            text = f"{spec.endpoint} is edge {spec.edge}, not {fields.get('edge')!r:.200}; give all hosts one graph"
        elif spec.peer and any(session.node == node for session in self._sessions.values()):
            text = f"{spec.peer} runs already: another one has taken {spec.edge}; stop one of the two"
        if text:
            self._raw_send(identity, wire.control("error", text=text, block=self.block))
            raise WireError("hello_refused", text)

    def _resume(self, identity: bytes, session: Session, granted: int) -> None:
        """Go on with a receiver over its next connection."""
        if session.identity is not None:
            self._session_of.pop(session.identity, None)
            self._forget(session.identity)
            self.retired.add(session.identity)
        away = time.monotonic() - session.away_since if session.identity is None else 0.0
        self.log.warning("port %s: receiver %r is back after %.1f s", self.spec.port, session.node, away)
        what = {"type": self.port_type.describe(), "policy": self.spec.policy}
        self._raw_send(identity, wire.control("hello", block=self.block, port=self.spec.port, **what))
        if not session.lossless:
            self._tell_of_lost(session)
        self._admit(identity, session.node, max(0, min(granted - session.sent, session.most)))

    def _tell_of_lost(self, session: Session) -> None:
        """What a live edge had under way is too old to be sent again: it will not come."""
        session.sent -= len(session.kept)
        kept, session.kept = session.kept, deque()
        waiting, self.gaps = self.gaps, []
        for (header,) in kept:
            fields = wire.unpack(header)
            for gap in fields.get("gaps", ()):
                note_gap(self.gaps, *gap)
            if fields["kind"] == "data":
                self.counters.drops[f"{self.spec.edge}: cut"] += 1
                note_gap(self.gaps, fields["stream"], fields["seq"], fields["seq"])
            elif fields["kind"] == "eos":
                session.sent += 1
                session.kept.append([header])
        for gap in waiting:
            note_gap(self.gaps, *gap)

    def _take_back(self, identity: bytes, part: bytes) -> None:
        session = self._session_of.get(identity)
        if session is None:
            super()._take_back(identity, part)
        else:
            session.heard(*numbers.unpack_received(part))

    # -- sending ---------------------------------------------------------------------------------------------------

    def _transmit(self, form: Form, nbytes: int, identity: bytes = b"") -> None:
        session = None
        if self._session_of:
            identity = identity or max(self.credit, key=self.credit.__getitem__)
            session = self._session_of.get(identity)
        if session is None:
            super()._transmit(form, nbytes, identity)
            return
        assert isinstance(form, list)  # shared memory and handles end at the border of a run
        gaps, self.gaps = self.gaps, []
        self.credit[identity] -= 1
        self.total -= 1
        message = session.add([with_gaps(form[0], gaps), *form[1:]] if gaps else form)
        if self._send(identity, message):
            self.counters.bytes_out[self.spec.edge] += nbytes

    def _peer_left(self, identity: bytes, why: str) -> None:
        session = self._session_of.get(identity)
        if session is None:
            super()._peer_left(identity, why)
        elif not self.spec.reconnect_s:
            self._give_up(session, why)
        else:
            del self._session_of[identity]
            self._forget(identity)
            session.identity = None
            session.away_since = time.monotonic()
            if session.kept or not self._ended:
                self.log.warning("port %s: receiver %r is away; waiting", self.spec.port, session.node)

    def _give_up(self, session: Session, why: str) -> None:
        """A receiver will not come back."""
        del self._sessions[session.name]
        who = self.spec.peer or f"receiver {session.node!r}"
        if session.identity is not None:
            self._session_of.pop(session.identity, None)
            self._forget(session.identity)
        if self._ended:  # all frames have come, as `settled` has seen
            self.log.warning("port %s: %s %s; it may not know that the stream has ended", self.spec.port, who, why)
        else:
            self.lost = self.lost or f"port {self.spec.port!r} on {self.spec.endpoint}: {who} {why}"
        if not self.credit and not self._sessions:
            self._discard()
