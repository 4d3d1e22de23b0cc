"""Receiving end of edges whose senders may die and come back: frames that come again are known, all is acknowledged."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import zmq

from semstream.runtime.block.block import In
from semstream.runtime.counters import NodeCounters
from semstream.runtime.durable.ledger import Key
from semstream.runtime.durable.order import Done, PatientJoin, PatientReorder
from semstream.runtime.durable.pace import Pace
from semstream.runtime.edges import sockets
from semstream.runtime.edges.handles import Mailboxes
from semstream.runtime.edges.link import Arrival, InputPort, Link
from semstream.runtime.edges.order import Ranges
from semstream.runtime.edges.receiver import Inputs
from semstream.runtime.edges.sockets import NOBLOCK, Socket
from semstream.runtime.errors import WireError
from semstream.runtime.frames import wire
from semstream.runtime.frames.frame import Frame
from semstream.runtime.graph.guard import Guard
from semstream.runtime.graph.nodes import InputSpec

MOST_BREAKS = 5
DIAL_EVERY_S = 0.05
ANSWER_S = 3.0
"""A connection over which no answer has come for so long is made again: what was sent may have gone astray."""


class DurableLink(Link):
    """A link that says who it is, and acknowledges."""

    answers_end = True

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.frames: dict[str, Ranges] = {}
        self.gaps: list[tuple[str, int, int]] = []
        self.broken = False
        self.dialled = time.monotonic()
        self.breaks = 0
        """Connections in a row that broke before anything new had come."""
        self.parting = False
        """Whether this life has failed and another one may come: the sender is not told that it leaves."""

    def _prepare(self) -> None:
        spec = self.port.spec
        self.pace = Pace(spec.credit) if spec.auto and spec.durable and spec.remote else None

    def _more_facts(self, spec: InputSpec, node: str) -> dict[str, Any]:
        who = f"{spec.resume}/{node}/{spec.port}/{self.index}"
        most = wire.MAX_CREDIT if self.pace is not None else spec.credit
        return {"resume": who, "durable": spec.durable, "edge": spec.edge, "most": most}

    def grant(self) -> None:
        """Give the sender credit for one more frame, and for more or less than one where the credit is to change."""
        if self.pace is not None:
            self._owed += self.pace.more(self._owed)
            self._batch = max(1, self.pace.credit // 4)
        super().grant()

    def note(self, key: Key) -> None:
        """Acknowledge with the next message."""
        if len(key) == 3:
            self.gaps.append(key)
        else:
            ranges = self.frames.get(key[0])
            if ranges is None:
                ranges = self.frames[key[0]] = Ranges()
            ranges.add(key[1], key[1])

    def acknowledge(self) -> bool:
        """Send what was noted; whether there was anything."""
        if not (self.frames or self.gaps):
            return False
        frames = [[stream, first, last] for stream, ranges in self.frames.items() for first, last in ranges]
        question = self.pace.question() if self.pace is not None else {}
        try:
            self.socket.send(wire.control("ack", frames=frames, gaps=self.gaps, **question), NOBLOCK)
        except zmq.Again:
            return False
        self.frames, self.gaps = {}, []
        return True

    def say_bye(self) -> None:
        """Tell a sender in another flowgraph that this end leaves for good."""
        if not self.parting:
            super().say_bye()


class DurablePort(InputPort):
    """An input port that knows what has come."""

    link_type = DurableLink

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.seen: dict[str, Ranges] = {}
        self.open: dict[Key, list[int]] = {}
        """What is not acknowledged, and the links by which it has come."""


class DurableInputs(Inputs):
    """All input ports of a node that can be started again, and whose neighbours can.

    Parameters
    ----------
    done
        What an earlier life has acknowledged, by stream.
    leave_out
        Is told of what came and will not be worked on.
    """

    port_type = DurablePort

    def __init__(
        self,
        context: zmq.Context[Socket],
        specs: list[InputSpec],
        declared: dict[str, In],
        node: str,
        counters: NodeCounters,
        log: logging.Logger,
        mailboxes: Mailboxes | None,
        guard: Guard,
        done: Done,
        leave_out: Callable[[str, Key], None],
    ) -> None:
        super().__init__(context, specs, declared, node, counters, log, mailboxes)
        self._remake = context, node, mailboxes, len(declared) > 1
        self._done = done
        self._leave_out = leave_out
        self.parted: list[tuple[InputPort, int]] = []
        """Links to other flowgraphs whose stream has ended, which the owner is to know first."""
        self._run_at: dict[str, str] = {}
        """The run that listens at an endpoint."""
        for port in self.ports:
            if port.reorder is not None and port.spec.durable:
                port.reorder = PatientReorder(len(port.links), done)
        if self.join is not None and all(port.spec.durable for port in self.ports):
            self.join = PatientJoin(declared)
        for finished in guard.finished:
            self.on_finished(finished)
        for port in self.ports:
            if port.name in guard.ended:
                for link in port.links:
                    self._end(link)
                    link.socket.send(wire.control("ack", eos=True))

    def on_finished(self, node: str) -> None:
        """A sender of this run has ended in order: all that it gave is acknowledged."""
        for link in self.links:
            if link.producer == node:
                self._end(link)

    def check_time(self) -> None:
        """Give up on what is not there, and dial again where no answer comes."""
        super().check_time()
        now = time.monotonic()
        for link in self.links:
            if link.port.spec.returns and not (link.greeted or link.ended):
                assert isinstance(link, DurableLink)
                link.broken |= now - link.dialled > ANSWER_S

    def renew(self, node: str) -> Iterator[tuple[Link, Link]]:
        """Dial anew what a node gives, in its new life, and what is broken; yields (old link, new link).

        Parameters
        ----------
        node
            The node; empty: only what is broken.
        """
        for port in self.ports:
            for i, old in enumerate(port.links):
                assert isinstance(old, DurableLink)
                again = node and old.producer == node
                if not again and not (old.broken and time.monotonic() - old.dialled > DIAL_EVERY_S):
                    continue
                context, own, mailboxes, joined = self._remake
                holds = joined or len(port.links) > 1
                new = port.links[i] = DurableLink(context, port, port.spec, i, own, mailboxes, holds)
                soon = old.broken and old.greeted and time.monotonic() - old.opened < ANSWER_S
                new.breaks = old.breaks + 1 if soon and not old.last_ns else 0
                if not old.greeted:
                    new.opened = old.opened  # the time for an answer has begun with the first of them
                if new.breaks >= MOST_BREAKS:
                    self._lose(
                        new,
                        f"port {port.name!r}: the connection to {new.endpoint} broke {new.breaks} times before a "
                        f"frame had come (killed, unreachable, or over the limit of {new.limit} bytes a message)",
                    )
                old.ended = True  # what came by it and waits gives it no credit any more
                yield old, new

    def acknowledge(self, port_name: str, key: Key) -> None:
        """All that came of this has arrived."""
        for port in self.ports:
            if port_name and port.name != port_name:
                continue
            assert isinstance(port, DurablePort)
            for index in port.open.pop(key, ()):
                link = port.links[index]
                assert isinstance(link, DurableLink)
                link.note(key)

    def send_acknowledgements(self) -> bool:
        """Send all that was noted; whether there was anything."""
        sent = False
        for port in self.ports:
            for link in port.links:
                assert isinstance(link, DurableLink)
                sent |= link.acknowledge()
        return sent

    def on_readable(self, link: Link) -> None:
        """Take every message that has come over a link; one that cannot be taken would be waited for for ever."""
        before = sum(self.counters.bad.values())
        super().on_readable(link)
        if link.port.spec.durable and sum(self.counters.bad.values()) > before:
            reasons = ", ".join(self.counters.bad)
            self._lose(
                link,
                f"port {link.port.name!r}: {link.endpoint} sent what cannot be taken ({reasons}), and a durable edge "
                "leaves nothing out; see the log",
            )

    def on_monitor(self, link: Link) -> None:
        """Note that the connection to another flowgraph is lost; over a durable edge it is made again."""
        if not link.port.spec.returns:
            super().on_monitor(link)
            return
        if link.monitor is None:
            return
        for event in sockets.monitor_events(link.monitor):
            if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                self._lose(link, f"{link.endpoint} refused this end's CURVE key; list it in the listener's clients")
            elif event == zmq.EVENT_DISCONNECTED and not link.ended and not link.silent_since:
                # Also before it was greeted: the hello may have gone with the connection.
                assert isinstance(link, DurableLink)
                link.broken = True
                self.log.warning("port %s: the connection to %s broke; dialling again", link.port.name, link.endpoint)

    def _is_new(self, link: Link, key: Key) -> bool:
        """Whether this comes for the first time; what comes again is acknowledged, at once or with the first."""
        port = link.port
        assert isinstance(port, DurablePort)
        assert isinstance(link, DurableLink)
        waiting = port.open.get(key)
        if waiting is not None:
            if link.index not in waiting:
                waiting.append(link.index)
            return False
        stream, first, last = key if len(key) == 3 else (key[0], key[1], key[1])
        for known in (port.seen.get(stream), self._done.get(stream)):
            if known is not None and known.end_of_run(first) > last:
                link.note(key)
                return False
        port.seen.setdefault(stream, Ranges()).add(first, last)
        port.open[key] = [link.index]
        return True

    def _on_frame(self, link: Link, frame: Frame, gaps: Sequence[wire.Gap]) -> bool:
        assert isinstance(link, DurableLink)
        if link.pace is not None:
            link.pace.on_frame(frame.nbytes)
        if link.port.spec.durable and not self._is_new(link, (frame.stream, frame.seq)):
            link.grant()
            return False
        return super()._on_frame(link, frame, gaps)

    def _on_control(self, link: Link, message: wire.Message) -> None:
        spec = link.port.spec
        if message.kind == "hello" and link.remote and spec.returns:
            self._on_hello(link, message.fields)
        elif message.kind == "eos" and link.remote and spec.returns:
            self._end(link)
            self.parted.append((link.port, link.index))
        elif not spec.durable:
            super()._on_control(link, message)
        elif message.kind == "gap":
            for gap in message.gaps:
                if self._is_new(link, gap):
                    self._on_gap(link.port, gap)
            link.grant()
        elif message.kind == "credit":
            raise WireError("kind", "a sender sends no credit")
        elif message.kind == "ping" and isinstance(link, DurableLink) and link.pace is not None:
            link.pace.on_answer(message.fields.get("echo"))
        else:
            super()._on_control(link, message)

    def _on_hello(self, link: Link, fields: dict[str, Any]) -> None:
        """A sender in another flowgraph has answered, twice: as every sender does, and with what it is here."""
        if link.greeted:
            return
        durable, run, where = link.port.spec.durable, fields.get("run"), f"port {link.port.name!r}: "
        if type(run) is not str or (fields.get("durable") is True) != durable:
            what, other = ("not ", "False") if durable else ("", "True")
            self._lose(
                link,
                f"{where}what listens at {link.endpoint} is {what}durable; make both ends alike: listen(..., "
                f"durable={durable}), or dial it with durable={other}; give all hosts of a graph the same --durable",
            )
        elif durable and self._run_at.setdefault(link.endpoint, run) != run:
            self._lose(
                link,
                f"{where}{link.port.spec.peer or 'the flowgraph'} at {link.endpoint} was started anew and does not "
                "know what it had given; start all anew",
            )
        else:
            link.greeted = True
            link.opened = time.monotonic()

    def _drop(self, unmatched: list[Arrival], gaps: list[wire.Gap]) -> None:
        for arrival in unmatched:
            if arrival.link.port.spec.durable:
                self._leave_out(arrival.link.port.name, (arrival.frame.stream, arrival.frame.seq))
        super()._drop(unmatched, gaps)
