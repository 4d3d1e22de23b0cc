"""Bridge: takes the messages of control lines out of ZeroMQ sockets, and puts others in, for a way that is none.

Owner and worker each have one; between the two, messages travel as calls of the worker's actor. So a run needs no
connection between its owner and its blocks beside Ray's own, and what guards that guards control.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Mapping

import zmq

from semstream.runtime.edges import sockets
from semstream.runtime.edges.sockets import Socket
from semstream.runtime.engines.control import MAX_RECORD_BYTES

RETRY_MS = 20


class Bridge(threading.Thread):
    """A thread that alone uses the sockets.

    Parameters
    ----------
    context
        Of the inproc endpoints.
    endpoints
        Of the lines, by node.
    bind
        Whether to bind them, or connect.
    on_message
        Called with (node, message) for each that comes out of a socket, in this thread.
    full
        While it says so, no message is taken out, so that who sends many waits.
    """

    def __init__(
        self,
        context: zmq.Context[Socket],
        endpoints: Mapping[str, str],
        bind: bool,
        on_message: Callable[[str, bytes], None],
        full: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(name="semstream control over Ray", daemon=True)
        self._on_message, self._full = on_message, full
        self._sockets: dict[str, Socket] = {}
        self._node_of: dict[Socket, str] = {}
        for node, endpoint in endpoints.items():
            socket = sockets.open_socket(context, zmq.DEALER, MAX_RECORD_BYTES, 0)
            if bind:
                socket.bind(endpoint)
            else:
                socket.connect(endpoint)
            self._sockets[node] = socket
            self._node_of[socket] = node
        self._given: deque[tuple[str, bytes]] = deque()
        self._waiting: dict[str, deque[bytes]] = {node: deque() for node in self._sockets}
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._closed = False
        self._putting = False

    @property
    def settled(self) -> bool:
        """Whether all that was given is in the sockets."""
        return not self._given and not self._putting

    def give(self, node: str, message: bytes) -> None:
        """Put a message into a node's socket; from any thread, in order."""
        self._given.append((node, message))
        if not self._closed:
            os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """End the thread and close the sockets."""
        self._closed = True
        os.eventfd_write(self._wake, 1)
        if self.ident is not None:
            self.join()
        for socket in self._sockets.values():
            socket.close(0)
        os.close(self._wake)

    def run(self) -> None:
        """Until closed."""
        all_sockets = zmq.Poller()
        only_wake = zmq.Poller()
        for poller in (all_sockets, only_wake):
            poller.register(self._wake, zmq.POLLIN)
        for socket in self._node_of:
            all_sockets.register(socket, zmq.POLLIN)
        while not self._closed:
            full = self._full()
            timeout = RETRY_MS if full or any(self._waiting.values()) else None
            for source, _ in (only_wake if full else all_sockets).poll(timeout):
                if source == self._wake:
                    os.eventfd_read(self._wake)
                else:
                    self._take(source)
            self._put()

    def _take(self, socket: Socket) -> None:
        while sockets.readable(socket):
            self._on_message(self._node_of[socket], socket.recv(zmq.NOBLOCK))

    def _put(self) -> None:
        self._putting = True
        while self._given:
            node, message = self._given.popleft()
            self._waiting[node].append(message)
        for node, waiting in self._waiting.items():
            try:
                while waiting:
                    self._sockets[node].send(waiting[0], zmq.NOBLOCK)
                    waiting.popleft()
            except zmq.Again:  # its other end is not there yet, or has thousands to take
                continue
        self._putting = any(self._waiting.values())
