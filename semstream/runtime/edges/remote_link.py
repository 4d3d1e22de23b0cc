"""Receiving end of an edge between hosts: it measures the way, sets the credit by it, and comes back after a cut."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import secrets
import socket
import time
from errno import ECONNREFUSED
from typing import Any

import zmq

from semstream.runtime.edges import numbers, sockets
from semstream.runtime.edges.credit import CREDIT_MESSAGES
from semstream.runtime.edges.link import Link
from semstream.runtime.edges.sockets import MORE_NOBLOCK, NOBLOCK
from semstream.runtime.edges.way import Way
from semstream.runtime.frames import wire
from semstream.runtime.frames.frame import Frame

KNOCK_S = 0.5
REFUSALS = 3
LOG = logging.getLogger("semstream")


class RemoteLink(Link):
    """A link whose messages are numbered. It says hello on each connection, and where the stream goes on."""

    numbered = True

    def _prepare(self) -> None:
        self.socket.immediate = True  # nothing waits for a connection: it would be old, or out of place, on the next
        spec = self.port.spec
        self.way = Way()
        self.session = secrets.token_hex(8)
        self.received = self.taken = 0
        self.granted = self.credit = spec.credit
        self.live = False
        self.away_since = 0.0
        self._auto = spec.auto
        self._hello: dict[str, Any] = {}
        self._hello_waits = False
        self._acknowledged = 0
        self._round_trip = self._ahead = 0
        self._knocked = 0.0
        self._refusals = 0

    def _greet(self, hello: dict[str, Any]) -> None:
        most = wire.MAX_CREDIT if self._auto else self.credit
        self._hello = {**hello, "edge": self.port.spec.edge, "session": self.session, "most": most}

    # -- connections -----------------------------------------------------------------------------------------------

    def on_connected(self) -> None:
        """Say where the stream goes on."""
        self._hello_waits = True
        self._say_hello()

    def _say_hello(self) -> None:
        sockets.readable(self.socket)  # takes note of the connection, which a send alone may not
        now = time.monotonic_ns()
        hello = wire.control("hello", **self._hello, received=self.received, granted=self.granted, now=now)
        with contextlib.suppress(zmq.Again):  # it was lost again, or is not seen yet
            self.socket.send(hello, NOBLOCK)
            self._hello_waits = False

    def on_hello(self, fields: dict[str, Any]) -> None:
        """The sender has answered."""
        self.greeted = True
        self.live = fields.get("policy") != "block"
        if self.away_since:
            away = time.monotonic() - self.away_since
            LOG.warning("the sender at %s is back after %.1f s", self.endpoint, away)
        self.away_since = 0.0
        self._refusals = 0

    def on_disconnected(self) -> bool:
        """Wait for another connection, if the edge says so."""
        if self.port.spec.reconnect_s and not self.away_since:
            self.away_since = time.monotonic()
        return bool(self.port.spec.reconnect_s)

    def check(self, now: float) -> str:
        """Send what is owed; give up on a sender that is away for too long, or whose process is gone."""
        if self._hello_waits:
            self._say_hello()
        elif self.greeted and not self.away_since and self.received != self._acknowledged:
            self.settle()
        if not self.away_since or self.ended or self.silent_since:
            return ""
        spec = self.port.spec
        who = f"{spec.peer or 'the sender'} at {self.endpoint}"
        if now - self.away_since > spec.reconnect_s:
            return f"{who} is gone: out of reach for {spec.reconnect_s:g} s; check the network and that it runs"
        if now - self._knocked > KNOCK_S:
            self._knocked = now
            self._refusals = self._refusals + 1 if _refuses(self.endpoint) else 0
        if self._refusals >= REFUSALS:
            return f"{who} is gone before the end of the stream: its machine answers, and its process has ended"
        return ""

    def finish(self) -> None:
        """The stream has ended: say that its end has come."""
        super().finish()
        if not self.away_since:
            self.settle()

    # -- messages --------------------------------------------------------------------------------------------------

    def arrives(self, parts: list[Any]) -> bool:
        """Take the number and the times off a message; False if it has come before."""
        if len(parts) < 2:
            return True  # hello, ping and error have no number
        number, echo, held, clock = numbers.unpack_hop(parts.pop())
        if number <= self.received:
            return False
        self.received = number
        now = time.monotonic_ns()
        self._round_trip = max(0, now - echo - held)
        self.way.came(now, self._round_trip, sum(map(len, parts)))
        # The way here took what the round trip was longer than the least one, and half of that.
        self._ahead = time.time_ns() - (self._round_trip - self.way.least_ns // 2) - clock
        return True

    def in_time(self, frame: Frame) -> bool:
        """Move a frame's times to this host's clock; False if it was held up for too long on a live edge."""
        ahead = self._ahead
        frame.t0_ns = min(max(1, frame.t0_ns + ahead), wire.MAX_SEQ)
        frame.trace = [[name, at + ahead] for name, at in frame.trace]
        return not (self.live and self.way.is_late(self._round_trip, self.credit))

    # -- credit ----------------------------------------------------------------------------------------------------

    def grant(self) -> None:
        """Give the sender credit for one more frame, and for more or less than one where the credit is to change."""
        self.taken += 1
        self.way.took(time.monotonic_ns())
        if self._auto:
            self.credit = self.way.credit(not self.live)
        if self.ended or self.away_since:
            return
        if self.taken + self.credit - self.granted >= max(1, self.credit // 4):
            self.settle()

    def settle(self) -> None:
        """Send the credit that is owed, and which message was the last to come."""
        owed = min(max(0, self.taken + self.credit - self.granted), wire.MAX_CREDIT)
        with contextlib.suppress(zmq.Again):  # without a connection; the next hello says the same
            self.socket.send(CREDIT_MESSAGES[owed], MORE_NOBLOCK)
            self.socket.send(numbers.pack_received(self.received, time.monotonic_ns()), NOBLOCK)
            self.granted += owed
            self._acknowledged = self.received


def _refuses(endpoint: str) -> bool:
    """Whether a machine answers there and no process listens, so that what was there has ended."""
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    host = host.strip("[]")
    try:
        ipaddress.ip_address(host)  # looking up a name could take long
    except ValueError:
        return False
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.2)
        return probe.connect_ex((host, int(port))) == ECONNREFUSED
