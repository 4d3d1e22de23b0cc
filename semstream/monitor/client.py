"""MonitorClient: a viewer's end of a monitor endpoint."""

from __future__ import annotations

import itertools
import time
from typing import Any

import zmq

from semstream.runtime.edges.sockets import open_socket, secure_client
from semstream.runtime.errors import WireError
from semstream.runtime.frames import wire
from semstream.runtime.graph.endpoints import CurveKeys, check_endpoint

MAX_SNAPSHOT_BYTES = 2**26


class MonitorClient:
    """Asks a `MonitorService` for its newest snapshot. For one thread.

    Parameters
    ----------
    endpoint
        Where the service listens.
    curve
        CURVE keys with the service's public key, where it wants them.

    Raises
    ------
    FlowgraphError
        If the endpoint is malformed.
    """

    def __init__(self, endpoint: str, curve: CurveKeys | None = None) -> None:
        check_endpoint("monitor", "endpoint", endpoint)
        self.endpoint = endpoint
        self._curve = curve
        self._context: zmq.Context[Any] = zmq.Context()
        self._ids = itertools.count(1)
        self._socket = self._open()

    def __enter__(self) -> MonitorClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the endpoint."""
        self._socket.close(0)
        self._context.term()

    def snapshot(self, timeout: float = 1.0) -> dict[str, Any] | None:
        """The newest state of the run, or None if nobody answers within `timeout` seconds."""
        reply = self._ask({"op": "snapshot"}, timeout, lambda r: isinstance(r.get("blocks"), dict))
        return reply if reply is not None and reply.get("v") == 1 else None

    def set(self, block: str, values: dict[str, Any], token: str, timeout: float = 5.0) -> str:
        """Change live settings between two frames; why not, or an empty string."""
        return self._command({"op": "set", "block": block, "values": values, "token": token}, timeout)

    def pause(self, value: bool, token: str, timeout: float = 5.0) -> str:
        """Hold the sources, or let them go on; why not, or an empty string."""
        return self._command({"op": "pause", "value": value, "token": token}, timeout)

    def check(self, token: str, timeout: float = 2.0) -> str:
        """Why `token` allows no changes; an empty string if it does."""
        return self._command({"op": "check", "token": token}, timeout)

    def _command(self, request: dict[str, Any], timeout: float) -> str:
        number = next(self._ids)
        reply = self._ask(request | {"id": number}, timeout, lambda r: r.get("id") == number)
        return f"nobody answers at {self.endpoint}" if reply is None else str(reply.get("error", ""))

    def _ask(self, request: dict[str, Any], timeout: float, fits: Any) -> dict[str, Any] | None:
        deadline = time.monotonic() + timeout
        if self._socket.poll(int(timeout * 1000), zmq.POLLOUT):
            self._socket.send(wire.pack(request))
        while (left := deadline - time.monotonic()) > 0:
            if not self._socket.poll(int(left * 1000) + 1):
                break
            try:
                reply = wire.unpack(self._socket.recv(), MAX_SNAPSHOT_BYTES)
            except WireError:
                continue
            if isinstance(reply, dict) and fits(reply):
                return reply
        # Nobody there: requests must not pile up until somebody is, or a late answer be taken for a newer one.
        self._socket.close(0)
        self._socket = self._open()
        return None

    def _open(self) -> Any:
        socket = open_socket(self._context, zmq.DEALER, MAX_SNAPSHOT_BYTES, 0)
        socket.linger = 0
        socket.setsockopt(zmq.IMMEDIATE, 1)
        if self._curve is not None:
            secure_client(socket, self._curve)
        socket.connect(self.endpoint)
        return socket
