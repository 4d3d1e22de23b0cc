"""MonitorService: answers viewers of a run, from a thread of its own in the process that owns the run."""

from __future__ import annotations

import hmac
import logging
import queue
import secrets
import threading
import time
from typing import TYPE_CHECKING, Any

import zmq

from semstream.monitor.snapshot import Watch
from semstream.monitor.walk import Walk
from semstream.runtime import FlowgraphError, SettingsError
from semstream.runtime.edges.sockets import open_socket, secure_server
from semstream.runtime.errors import WireError
from semstream.runtime.frames import wire
from semstream.runtime.graph.endpoints import CurveKeys, check_listen

if TYPE_CHECKING:
    from semstream.runtime import Run

FRESH_S = 0.08
FOLLOW_S = 10.0
MAX_REQUEST_BYTES = 2**16
LOG = logging.getLogger("semstream")


class MonitorService(threading.Thread):
    """Serves the snapshots of a run at an endpoint.

    Parameters
    ----------
    run
        A run that was started.
    endpoint
        ``tcp://HOST:PORT``, ``tcp://127.0.0.1:*`` for a free port, or ``ipc://PATH``.
    control
        Whether viewers that know `token` may change live settings and pause.
    curve
        CURVE keys; needed where the endpoint is not on loopback.
    walk_s
        While viewers ask, sweeps over SNRs come to each of them within so many seconds (`Walk`); 0: sweeps stay as
        they are.

    Raises
    ------
    FlowgraphError
        If the endpoint is in use, malformed, or open to others without keys.

    Attributes
    ----------
    endpoint : str
        Where it listens.
    token : str
        What a viewer must say to change anything; empty without control.
    """

    def __init__(
        self,
        run: Run,
        endpoint: str = "tcp://127.0.0.1:*",
        control: bool = False,
        curve: CurveKeys | None = None,
        token: str = "",
        walk_s: float = 0.0,
    ) -> None:
        super().__init__(name="semstream monitor", daemon=True)
        if not endpoint.startswith(("tcp://127.0.0.1:", "tcp://localhost:", "ipc://")):
            check_listen("monitor", "endpoint", endpoint.replace(":*", ":1"), curve)
        self.watch = Watch(run, control)
        self.token = (token or secrets.token_urlsafe(12)) if control else ""
        self.refused = 0
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket = open_socket(self._context, zmq.ROUTER, MAX_REQUEST_BYTES, 0)
        self._socket.linger = 200
        self._authenticator = secure_server(self._socket, self._context, curve) if curve is not None else None
        try:
            self._socket.bind(endpoint)
        except zmq.ZMQError as error:
            self._release()
            raise FlowgraphError(
                f"monitor endpoint {endpoint}: cannot listen there ({error}); name another port, or * for a free one"
            ) from None
        self.endpoint = self._socket.get_string(zmq.LAST_ENDPOINT)
        self._leave = threading.Event()
        self._packed: tuple[float, bool, bytes] = (-1.0, False, b"")
        self._walk = Walk(run, walk_s)
        # A change waits for the end of a frame: in a thread of its own, so that viewers see the run go on meanwhile.
        self._wanted: queue.SimpleQueue[tuple[bytes, dict[str, Any]] | None] = queue.SimpleQueue()
        self._changed: queue.SimpleQueue[tuple[bytes, bytes]] = queue.SimpleQueue()
        self._under_way = 0
        self._changer = threading.Thread(target=self._make_changes, name="semstream monitor changes", daemon=True)
        logging.getLogger("semstream").addHandler(self.watch.events)

    def __enter__(self) -> MonitorService:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self, linger: float = 0.0) -> None:
        """Stop answering, after `linger` seconds in which viewers can still see the end of the run."""
        self._leave.wait(linger)
        self._leave.set()
        if self.is_alive():
            self.join(5)

    def run(self) -> None:
        """Answer until `stop`."""
        self._changer.start()
        followed = time.monotonic()
        try:
            while not self._leave.is_set():
                if time.monotonic() - followed > FOLLOW_S:
                    self.watch.follow()  # else a viewer that comes after a day waits for all that it has brought
                    followed = time.monotonic()
                if self._socket.poll(5 if self._under_way else 50):
                    self._answer()
                while not self._changed.empty():
                    self._under_way -= 1
                    self._send(*self._changed.get())
        finally:
            self._wanted.put(None)
            logging.getLogger("semstream").removeHandler(self.watch.events)
            self._release()

    def _make_changes(self) -> None:
        while not self._leave.is_set():
            try:
                wanted = self._wanted.get(timeout=0.5)
            except queue.Empty:
                pass
            else:
                if wanted is None:
                    return
                self._changed.put((wanted[0], self._changed_by(wanted[1])))
            if said := self._walk.keep():
                self.watch.events.note("info", said)

    def _changed_by(self, request: dict[str, Any]) -> bytes:
        """Make a change; the reply."""
        try:
            error = self._change(request)
        except (ValueError, TypeError, KeyError):
            self.refused += 1
            error = "not a request that this monitor knows"
        return wire.pack({"error": error, "id": request.get("id", 0)})

    def _release(self) -> None:
        if self._authenticator is not None:
            self._authenticator.stop()
        self._socket.close()
        self._context.term()

    def _answer(self) -> None:
        parts = self._socket.recv_multipart()
        for reply in self._replied(parts):
            self._send(parts[0], reply)

    def _replied(self, parts: list[bytes]) -> list[bytes]:
        """The reply to a viewer's message; none yet if it asks for a change."""
        try:
            request = wire.unpack(parts[-1], MAX_REQUEST_BYTES)
            if len(parts) != 2 or not isinstance(request, dict):
                raise WireError("not a request")
            reply = self._reply(parts[0], request)
        except (WireError, ValueError, TypeError, KeyError):
            self.refused += 1
            reply = wire.pack({"error": "not a request that this monitor knows"})
        return [reply] if reply else []

    def _send(self, viewer: bytes, reply: bytes) -> None:
        try:
            # Never waits: a viewer that does not take its answers loses them.
            self._socket.send_multipart([viewer, reply], zmq.NOBLOCK)
        except zmq.ZMQError:
            self.refused += 1

    def _reply(self, viewer: bytes, request: dict[str, Any]) -> bytes:
        op = request.get("op")
        if op == "snapshot":
            self._walk.asked()
            return self._snapshot()
        if op not in ("check", "set", "pause"):
            raise WireError("unknown op")
        refusal = self._refusal(request)
        if refusal or op == "check":
            return wire.pack({"error": refusal, "id": request.get("id", 0)})
        self._under_way += 1
        self._wanted.put((viewer, request))
        return b""

    def _snapshot(self) -> bytes:
        """Any number of viewers cost one snapshot; the end of the run is seen at once."""
        now, finished = time.monotonic(), self.watch.run.finished
        if now - self._packed[0] > FRESH_S or finished != self._packed[1]:
            self._packed = now, finished, wire.pack(self.watch.snapshot())
        return self._packed[2]

    def _refusal(self, request: dict[str, Any]) -> str:
        """Why a viewer may not change anything; empty if it may."""
        if not self.token:
            return "this monitor is read-only; start the flowgraph with --control"
        if not hmac.compare_digest(str(request.get("token", "")).encode(), self.token.encode()):
            self.refused += request["op"] != "check"
            return "wrong token; the flowgraph printed the right one when it started"
        return ""

    def _change(self, request: dict[str, Any]) -> str:
        run, events = self.watch.run, self.watch.events
        if request["op"] == "pause":
            run.hold(bool(request["value"]))
            events.note("info", "paused" if request["value"] else "goes on")
            return ""
        block, values = str(request["block"]), dict(request["values"])
        try:
            run.set(block, timeout=2.0, **values)
        except SettingsError as error:
            events.note("warning", str(error))
            return str(error)
        events.note("info", f"{block}: " + ", ".join(f"{k} = {v}" for k, v in values.items()))
        return ""
