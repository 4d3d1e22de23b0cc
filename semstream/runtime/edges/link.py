"""Input ports and their links: a link is the end of an edge from one sender; it grants credit and gives slots back."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import zmq

from semstream.runtime.block.block import In
from semstream.runtime.edges import sockets
from semstream.runtime.edges.credit import CREDIT_MESSAGES, LEASE
from semstream.runtime.edges.handles import Mailboxes
from semstream.runtime.edges.order import Reorder
from semstream.runtime.edges.slot_reader import SlotReader
from semstream.runtime.edges.slots import WARM_BYTES, run_of
from semstream.runtime.edges.sockets import MORE_NOBLOCK, NOBLOCK, Socket
from semstream.runtime.errors import WireError
from semstream.runtime.frames import wire
from semstream.runtime.frames.frame import Frame
from semstream.runtime.graph.nodes import InputSpec


class Arrival:
    """A frame that has come and is not yet taken."""

    __slots__ = ("at_ns", "frame", "granted", "link")

    def __init__(self, frame: Frame, link: Link, at_ns: int) -> None:
        self.frame = frame
        self.link = link
        self.at_ns = at_ns
        self.granted = False


class Link:
    """One DEALER, connected to one sender."""

    numbered = False
    """Whether messages over it are numbered (`semstream.runtime.edges.remote_link`)."""
    answers_end = False
    """Whether the sender waits for an answer to its end (`semstream.runtime.durable`)."""

    def __init__(
        self,
        context: zmq.Context[Socket],
        port: InputPort,
        spec: InputSpec,
        index: int,
        node: str,
        mailboxes: Mailboxes | None,
        holds: bool,
    ) -> None:
        self.port = port
        self.index = index
        self.endpoint = spec.endpoints[index]
        self.producer = spec.producers[index]
        self.remote = spec.remote
        self.ended = False
        self.silent_since = 0.0
        self.last_ns = 0
        self.greeted = not spec.remote
        self.opened = time.monotonic()
        self._owed = 0
        self._batch = max(1, spec.credit // 2)
        self.limit = max(port.declared.type.max_message_bytes, wire.MAX_HEADER_BYTES)
        self.socket = sockets.open_socket(context, zmq.DEALER, self.limit, sockets.DEAD_MS if spec.leaves_host else 0)
        self.monitor: Socket | None = None
        self.cut_since = 0.0
        self.last: dict[str, int] | None = {} if spec.leaves_host and not spec.remote else None
        self.moved = False
        if spec.leaves_host:
            self.monitor = sockets.monitor(self.socket)
        if spec.curve is not None:
            sockets.secure_client(self.socket, spec.curve)
        self._greeting = b""
        self._prepare()
        self.socket.connect(self.endpoint)
        hello: dict[str, Any] = {"node": node, "credit": spec.credit, **self._more_facts(spec, node)}
        if spec.remote:
            hello["type"] = port.declared.type.describe()
        self.mailbox = None
        if mailboxes is not None and self.endpoint.startswith("inproc://"):
            hello["mailbox"], self.mailbox = mailboxes.open()
        self.slots: SlotReader | None = None
        if not spec.remote and self.endpoint.startswith("ipc://"):
            self.slots = SlotReader(run_of(self.endpoint))
            hello["hold"] = min(wire.MAX_CREDIT, spec.credit + (port.declared.buffer if holds else 0))
        self._greet(hello)

    def _prepare(self) -> None:
        """Before the socket connects."""

    def _greet(self, hello: dict[str, Any]) -> None:
        self._greeting = wire.control("hello", **hello)
        self.socket.send(self._greeting)

    def move(self, endpoint: str) -> None:
        """Go to where the sender is now, after what it had sent before has been taken."""
        with contextlib.suppress(zmq.ZMQError):
            self.socket.disconnect(self.endpoint)
        self.endpoint = endpoint
        self.socket.connect(endpoint)
        self.socket.send(self._greeting)
        self.cut_since, self.moved, self._owed = 0.0, True, 0

    def on_hello(self, fields: dict[str, Any]) -> None:
        """Note that the sender has answered."""
        self.greeted = True

    def arrives(self, parts: list[Any]) -> bool:
        """Take its number off a message of a numbered link; False if it has come before."""
        return True

    def in_time(self, frame: Frame) -> bool:
        """Whether a frame that has just come is not too old for a live edge."""
        return True

    def on_connected(self) -> None:
        """A connection was made, the first one or another one."""

    def on_disconnected(self) -> bool:
        """A connection was lost; whether another one is waited for."""
        return False

    def check(self, now: float) -> str:
        """Ten times a second: do what waits, and say why the link is given up, if it is."""
        return ""

    def finish(self) -> None:
        """Nothing more comes over it."""
        self.ended = True

    def _more_facts(self, spec: InputSpec, node: str) -> dict[str, Any]:
        """What a hello says besides, for subclasses."""
        return {}

    def grant(self) -> None:
        """Give the sender credit for one more frame; small grants are sent together."""
        self._owed += 1
        if self.ended:
            return
        slots = self.slots
        if self._owed >= self._batch or (slots is not None and slots.capacity >= WARM_BYTES and slots.has_given_back):
            self.settle()

    def settle(self) -> None:
        """Send the credit that is owed, and the slots whose arrays are gone."""
        credit = CREDIT_MESSAGES[self._owed]
        slots = self.slots
        with contextlib.suppress(zmq.Again):  # if the sender takes nothing, keep it for the next time
            if slots is None or not slots.has_given_back:
                self.socket.send(credit, NOBLOCK)
            else:
                self.socket.send(credit, MORE_NOBLOCK)
                self.socket.send(b"".join(map(LEASE.pack, slots.given_back())))
            self._owed = 0

    def find_memory(self, message: wire.Message) -> None:
        """Look for the sender's memory, and tell it whether it is there.

        Raises
        ------
        WireError
            If it is not.
        """
        if self.slots is None:
            raise WireError("kind", "memory on an edge that shares none")
        try:
            self.slots.open(message.fields.get("pid"), message.fields.get("fd"))
        except WireError as error:
            self.socket.send(wire.control("share", found=False, why=str(error)[:1000]))
            raise
        self.socket.send(wire.control("share", found=True))

    def say_bye(self) -> None:
        """Tell a sender in another flowgraph that this end leaves before the stream has ended."""
        if self.remote and self.greeted and not self.ended:
            with contextlib.suppress(zmq.ZMQError):
                self.socket.send(wire.control("bye"), zmq.NOBLOCK)

    def close(self, linger_ms: int) -> None:
        """Close the socket, and let go of what has not been taken."""
        if self.mailbox is not None:
            self.mailbox.close()
        if self.slots is not None:
            self.slots.close()
        if self.monitor is not None:
            self.socket.disable_monitor()
            self.monitor.close(0)
            self.monitor = None
        # A sender in this run needs no credit behind its end, and may be gone: nothing is to wait for.
        self.socket.close(0 if self.ended and not (self.remote or self.answers_end) else linger_ms)


class InputPort:
    """One input port with its links."""

    link_type: type[Link] = Link

    def __init__(
        self,
        context: zmq.Context[Socket],
        spec: InputSpec,
        declared: In,
        node: str,
        mailboxes: Mailboxes | None,
        joined: bool,
        kind: type[Link] | None = None,
    ) -> None:
        self.spec = spec
        self.name = spec.port
        self.declared = declared
        self.links = [
            (kind or self.link_type)(context, self, spec, i, node, mailboxes, joined or len(spec.endpoints) > 1)
            for i in range(len(spec.endpoints))
        ]
        self.reorder: Reorder[Arrival] | None = Reorder(len(self.links)) if len(self.links) > 1 else None
        self.ended = False
