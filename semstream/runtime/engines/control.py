"""The owner's line to a node: go, live settings and stop one way, records, logs and the end the other way.

One DEALER pair a node, so that each line is private and the loss of a process is seen on its own line.
Values are msgpack maps ``{"op": ..., ...}``; both ends belong to one run and one user.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Any

import zmq

from semstream.runtime.edges import sockets
from semstream.runtime.edges.sockets import Socket
from semstream.runtime.errors import WireError
from semstream.runtime.frames import wire

MAX_RECORD_BYTES = 2**24


class ControlLine:
    """A node's end."""

    def __init__(self, context: zmq.Context[Socket], endpoint: str) -> None:
        patience_ms = sockets.STARVED_MS if endpoint.startswith("ipc://") else 0
        self.socket = sockets.open_socket(context, zmq.DEALER, MAX_RECORD_BYTES, patience_ms)
        self.socket.connect(endpoint)

    def tell(self, op: str, **values: Any) -> None:
        """Send to the owner. Waits while the owner has thousands of messages to take: records are lossless.

        Raises
        ------
        TypeError, ValueError, OverflowError
            If a value has no msgpack form.
        """
        self.socket.send(wire.pack({"op": op, **values}))

    def take(self) -> list[dict[str, Any]]:
        """What the owner has sent."""
        return take(self.socket)


def take(socket: Socket) -> list[dict[str, Any]]:
    """Every message that waits on a control socket."""
    messages: list[dict[str, Any]] = []
    while True:
        try:
            data = socket.recv(zmq.NOBLOCK)
        except zmq.Again:
            return messages
        try:
            value = wire.unpack(data, MAX_RECORD_BYTES)
        except WireError:
            continue
        if isinstance(value, dict) and isinstance(value.get("op"), str):
            messages.append(value)


class LogForwarder(logging.Handler):
    """Keeps log records of a child process until its nodes send them to the owner (sockets belong to one thread)."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: deque[list[Any]] = deque(maxlen=10_000)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record."""
        try:
            self.waiting.append([record.name, record.levelno, record.getMessage()])
        except Exception:
            self.handleError(record)
