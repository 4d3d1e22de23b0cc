"""ZeroMQ sockets with the options that every edge has: finite linger, size limits, heartbeats, CURVE."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import zmq

from semstream.runtime.graph.endpoints import CurveKeys, is_loopback

if TYPE_CHECKING:
    from zmq.auth.thread import ThreadAuthenticator

LINGER_MS = 1000
HEARTBEAT_MS = 1000
DEAD_MS = 3000
STARVED_MS = 30_000
"""Patience with a process that is watched by other means: it may get no CPU for seconds where others fill the cores."""
CONNECT_MS = 1000
"""A connection that is not made within this is tried anew: TCP itself would wait twice as long after each try."""
HANDSHAKE_MS = 10_000
"""Who may come is decided in Python, which a busy process takes its time for."""
BIND_ERRORS = {
    errno.EADDRINUSE: "the port is in use",
    errno.EADDRNOTAVAIL: "this machine does not have that address",
    errno.ENODEV: "this machine does not have that address",
}
ZAP_DOMAIN = "semstream"
Socket = zmq.Socket[bytes]

# Plain numbers: combining pyzmq's enums costs some µs each time, which is a tenth of a frame's way.
NOBLOCK = int(zmq.NOBLOCK)
SNDMORE = int(zmq.SNDMORE)
MORE_NOBLOCK = SNDMORE | NOBLOCK
RCVMORE = int(zmq.RCVMORE)
_EVENTS = int(zmq.EVENTS)
_POLLIN = int(zmq.POLLIN)


def open_socket(context: zmq.Context[Socket], kind: int, max_message: int, patience_ms: int) -> Socket:
    """A socket that cannot hang its process, take more than it should, or miss that the other end is gone.

    Whoever is silent for longer than `patience_ms` is gone; 0 asks for no heartbeat. The heartbeat is ZMTP's own: it
    lives in ZeroMQ's I/O thread, so that a long ``process()`` is not taken for death.
    """
    socket = context.socket(kind)
    socket.linger = LINGER_MS
    socket.maxmsgsize = max_message
    socket.sndhwm = socket.rcvhwm = 10_000  # credit is what bounds an edge; this only stops a runaway
    socket.reconnect_ivl = 20
    socket.reconnect_ivl_max = 500
    if patience_ms:
        socket.heartbeat_ivl = HEARTBEAT_MS
        socket.heartbeat_timeout = patience_ms
        socket.heartbeat_ttl = patience_ms
        socket.handshake_ivl = HANDSHAKE_MS
        socket.connect_timeout = CONNECT_MS
        # The same for TCP below: what is on its way to a peer that is gone does not linger in the kernel.
        socket.tcp_maxrt = patience_ms
        socket.tcp_keepalive = 1
        socket.tcp_keepalive_idle = socket.tcp_keepalive_intvl = HEARTBEAT_MS // 1000
        socket.tcp_keepalive_cnt = patience_ms // HEARTBEAT_MS
    return socket


def readable(socket: Socket) -> bool:
    """Whether a message waits; cheaper than to try and catch `zmq.Again`."""
    events: Any = socket.get(_EVENTS)
    return bool(events & _POLLIN)


def secure_server(socket: Socket, context: zmq.Context[Socket] | None, curve: CurveKeys) -> ThreadAuthenticator | None:
    """Make `socket` a CURVE server that admits `curve.clients` only. Call before it binds; stop the result.

    Without a context, whoever has called `authenticate` says who is admitted.
    """
    authenticator = authenticate(context, curve) if context is not None else None
    socket.zap_domain = ZAP_DOMAIN.encode()
    socket.curve_publickey, socket.curve_secretkey = curve.public.encode(), curve.secret.encode()
    socket.curve_server = True
    return authenticator


def authenticate(context: zmq.Context[Socket], curve: CurveKeys) -> ThreadAuthenticator:
    """Admit `curve.clients` only to the CURVE servers of a context; it has one authenticator. Stop the result."""
    from zmq.auth.thread import ThreadAuthenticator

    allowed = frozenset(key.encode() for key in curve.clients)

    class Allowed:
        def callback(self, domain: str, key: bytes) -> bool:
            """Whether the client with this public key may connect."""
            return key in allowed

    authenticator = ThreadAuthenticator(context)
    authenticator.start()
    authenticator.configure_curve_callback(domain=ZAP_DOMAIN, credentials_provider=Allowed())
    return authenticator


def secure_client(socket: Socket, curve: CurveKeys) -> None:
    """Make `socket` a CURVE client. Call before it connects."""
    socket.curve_publickey, socket.curve_secretkey = curve.public.encode(), curve.secret.encode()
    socket.curve_serverkey = curve.server.encode()


def monitor(socket: Socket) -> Socket:
    """Socket that tells when a connection of `socket` is made, refused or lost."""
    events = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
    events |= zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    events |= zmq.EVENT_HANDSHAKE_FAILED_AUTH
    return socket.get_monitor_socket(events)


def monitor_events(socket: Socket) -> list[int]:
    """Events that have come on a monitor socket."""
    from zmq.utils.monitor import parse_monitor_message

    events: list[int] = []
    while True:
        try:
            message: list[Any] = socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return events
        events.append(int(parse_monitor_message(message)["event"]))


def is_local(endpoint: str) -> bool:
    """Whether the endpoint needs no heartbeat: its process is watched, or is this one."""
    return is_loopback(endpoint) and not endpoint.startswith("tcp://")
