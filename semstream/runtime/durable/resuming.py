"""Sending end of an edge whose receivers may die and come back.

What a hello and a credit are stands in `semstream.runtime.edges.sender`; besides::

           <-- hello {..., resume, edge} --------  who it is, the same in every life: run/node/port/link
           --- hello {run, ...} ----------------->  in another flowgraph or on another host
           <-- ack {eos: true} ------------------  from there, which has all
"""

from __future__ import annotations

import logging
import time
from typing import Any

import zmq

from semstream.runtime.counters import NodeCounters
from semstream.runtime.durable.ledger import Ledger
from semstream.runtime.edges.handles import Mailboxes
from semstream.runtime.edges.sender import Sender
from semstream.runtime.edges.slots import Lease, Pool
from semstream.runtime.edges.sockets import Socket
from semstream.runtime.errors import WireError
from semstream.runtime.frames import wire
from semstream.runtime.frames.types import PortType
from semstream.runtime.graph.guard import Guard
from semstream.runtime.graph.nodes import OutputSpec

RETURN_S = 60.0
"""A receiver in another flowgraph that has not come back for so long is lost."""
PARTING_S = 5.0
"""How long a sender waits for another flowgraph to say that the end has come through; all frames have by then."""


class ResumingSender(Sender):
    """A sender that lets its receivers come back; what was under way to one that died is lost."""

    def __init__(
        self,
        context: zmq.Context[Socket],
        spec: OutputSpec,
        port_type: PortType,
        block: str,
        counters: NodeCounters,
        log: logging.Logger,
        mailboxes: Mailboxes | None,
        pool: Pool | None,
        guard: Guard,
        ledger: Ledger,
    ) -> None:
        self._over_nodes: set[str] = set()
        super().__init__(context, spec, port_type, block, counters, log, mailboxes, pool)
        self.quiet = False
        """Whether this life has failed and another one may come: receivers are not told of it."""
        self.over = False
        """Whether every receiver has ended in order and needs nothing more."""
        self._guard = guard
        self._ledger = ledger
        self._most = guard.ring
        self._receiver_of: dict[bytes, str] = {}
        self._identity_of: dict[str, bytes] = {}
        self._run_of: dict[str, str] = {}
        self._orphans: dict[str, list[Lease]] = {}
        self._ended = False
        self._have_end: set[str] = set()
        """Receivers in other flowgraphs to which the end has come."""
        self._away = dict.fromkeys(spec.consumers if spec.peer else (), time.monotonic())
        """Since when which receiver of another flowgraph has been away."""
        for node in guard.finished:
            self.on_finished(node)

    def end(self, kind: str = "eos", text: str = "") -> None:
        """Tell all receivers, also those that come later, that nothing more comes; unless another life may go on."""
        if not self.quiet:
            self._ended = kind == "eos"
            super().end(kind, text)

    def on_finished(self, node: str) -> None:
        """A receiver of this run has ended in order."""
        self._awaited.discard(node)
        self._over_nodes.add(node)
        self.over = bool(self.spec.consumers) and self._over_nodes.issuperset(self.spec.consumers)

    @property
    def settled(self) -> bool:
        """Whether nothing is left to send and every receiver has said hello or has ended."""
        return self.over or super().settled

    @property
    def end_acknowledged(self) -> bool:
        """Whether the end has come to all receivers in other flowgraphs."""
        consumers = self.spec.consumers
        if consumers:
            return self._have_end.issuperset(consumers)
        return bool(self._have_end) and self._have_end.issuperset(self._node_of.values())

    @property
    def parting_s(self) -> float:
        """How long to wait for that: as long as a host that cannot be reached is waited for."""
        return max(PARTING_S, self.spec.reconnect_s)

    def on_dead(self, node: str) -> None:
        """Forget a receiver of this run that has failed for good."""
        if node in self.spec.consumers:
            self._ledger.abandoned = True
        super().on_dead(node)

    def probe(self) -> None:
        """Find out which receivers are gone, and give up on one that does not come, or does not come back."""
        super().probe()
        if not (self.spec.remote and self._away) or self.stopping:
            return
        spec, patience = self.spec, self.spec.reconnect_s if self.spec.peer else RETURN_S
        receiver, since = min(self._away.items(), key=lambda item: item[1])
        if time.monotonic() - since < patience or receiver in self._have_end or self.lost:
            return
        if receiver not in self._run_of:
            self.lost = (
                f"{spec.peer or 'the receiver'} has not come to {spec.endpoint} within {patience:g} s; start it there, "
                "or check addresses and CURVE keys"
            )
        else:
            who = f"{spec.peer}, the receiver" if spec.peer else "the receiver"
            self.lost = (
                f"{who} of port {spec.port!r} on {spec.endpoint}, has not come back for {patience:g} s"
                f"{self._waiting_for(receiver)}"
            )

    def _waiting_for(self, receiver: str) -> str:
        """What the message of a receiver that is lost says besides."""
        return ""

    # -- messages of receivers -------------------------------------------------------------------------------------

    def _on_message(self, identity: bytes, message: wire.Message) -> None:
        if message.kind == "ack":
            if self._is_retired(identity):
                return
            if identity not in self.credit:
                raise WireError("no_hello", "an acknowledgement from a peer that has not said hello")
            self._on_ack(identity, message.fields)
            return
        if message.kind == "hello":
            receiver = message.fields.get("resume")
            if type(receiver) is not str or not 0 < len(receiver) <= 1024:
                receiver = f"{message.fields.get('node')!s:.256}"
            if self.spec.peer:
                self._check_peer(identity, message.fields, receiver)
            known = self._identity_of.get(receiver)
            if known is not None and known != identity:
                self._forget(known)
            for lease in self._orphans.pop(receiver, ()):  # whoever could still read it has gone
                lease.release()
            self._receiver_of[identity] = receiver
            if self.spec.remote and self.spec.returns:
                self._raw_send(identity, wire.control("hello", **self._more_facts()))
        super()._on_message(identity, message)
        most = message.fields.get("most")
        if message.kind == "hello" and identity in self._granted and type(most) is int:
            self._granted[identity] = max(self._granted[identity], min(most, wire.MAX_CREDIT))

    def _is_retired(self, identity: bytes) -> bool:
        return self.spec.remote and self.spec.returns and identity not in self.credit

    def _more_facts(self) -> dict[str, Any]:
        """What the answer to a hello says besides."""
        return {"run": self._guard.run}

    def _check_peer(self, identity: bytes, fields: dict[str, Any], receiver: str) -> None:
        """Refuse one that is not the other end of this edge, and tell it why."""
        spec, node, run = self.spec, fields.get("node"), receiver.partition("/")[0]
        known = self._run_of.get(str(node), run)
        text = ""
        if fields.get("edge") != spec.edge or node not in spec.consumers:
            text = f"{spec.endpoint} is edge {spec.edge}, not {fields.get('edge')!r:.200}; give all hosts one graph"
        elif not fields.get("resume"):
            text = f"{node!r} is of a run without durable edges and restarts; give all hosts the same --durable"
        elif known != run and (spec.durable or node in self._node_of.values()):
            text = (
                f"{spec.peer} runs already, or was started anew: {spec.edge} goes on only with the run that has taken "
                "it; stop one of the two, or start all hosts anew"
            )
        if text:
            self._raw_send(identity, wire.control("error", text=text, block=self.block))
            raise WireError("hello_refused", text)

    def _on_ack(self, identity: bytes, fields: dict[str, Any]) -> None:
        if fields.get("eos") is True:
            self._have_end.add(self._node_of[identity])

    def _admit(self, identity: bytes, node: str, count: int) -> None:
        super()._admit(identity, node, count)
        receiver = self._receiver_of[identity]
        self._identity_of[receiver] = identity
        name = self._name_of(receiver, node)
        self._run_of[name] = receiver.partition("/")[0]
        self._away.pop(name, None)
        if not self.spec.durable:
            self._tell_end(identity)

    def _tell_end(self, identity: bytes) -> None:
        """Tell one that comes late or again of an end that has been."""
        if self._ended:
            self._send(identity, [wire.control("eos", text="", block=self.block)])

    def _name_of(self, receiver: str, node: str) -> str:
        return node if self.spec.peer else receiver

    def _peer_left(self, identity: bytes, why: str) -> None:
        spec = self.spec
        node = self._node_of[identity]
        if spec.remote and node in self._have_end:
            self._forget(identity)
            return
        if why.startswith("left") or (spec.remote and not spec.returns):
            super()._peer_left(identity, why)
            return
        receiver = self._receiver_of[identity]
        self._forget(identity)
        if spec.remote:
            self._away.setdefault(self._name_of(receiver, node), time.monotonic())
            if spec.peer:
                self._awaited.add(node)
                self.log.warning("port %s: %s is away; waiting", spec.port, spec.peer)
        elif node not in self._over_nodes:
            self._awaited.add(node)

    def _forget(self, identity: bytes) -> None:
        receiver = self._receiver_of.pop(identity, "")
        if self._identity_of.get(receiver) == identity:
            del self._identity_of[receiver]
        leases = self._leases.get(identity)
        if leases:
            self._orphans.setdefault(receiver, []).extend(leases.values())
        super()._forget(identity)
