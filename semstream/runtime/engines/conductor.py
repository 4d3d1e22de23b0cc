"""Conductor: the owner's thread that starts the nodes of a run, listens to them, and ends the run."""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import zmq

from semstream.runtime.edges.sockets import Socket
from semstream.runtime.engines.control import take
from semstream.runtime.engines.engine import Engine, Restart
from semstream.runtime.errors import FlowgraphError
from semstream.runtime.frames import wire
from semstream.runtime.graph.plan import Plan
from semstream.runtime.records import Records

POLL_MS = 20
DRAIN_S = 1.2
GIVE_UP_S = 1.7
LOG = logging.getLogger("semstream")


class _Request:
    def __init__(self, number: int, nodes: list[str], values: dict[str, Any]) -> None:
        self.number = number
        self.waiting = set(nodes)
        self.values = values
        self.error = ""
        self.done = threading.Event()


class Conductor(threading.Thread):
    """Runs beside the owner's thread; its methods may be called from any thread."""

    stop_by = "drain"
    """What nodes are told first when the run is to stop."""

    def __init__(
        self,
        plan: Plan,
        engine: Engine,
        records: Mapping[str, Records],
        on_record: Callable[[str, dict[str, Any]], None] | None,
    ) -> None:
        thread_name = f"semstream {plan.graph.name}"
        super().__init__(name=thread_name, daemon=True)
        self.plan = plan
        self.engine = engine
        self.records = records
        self.failure: FlowgraphError | None = None
        self.finished = threading.Event()
        self._block_of = {node: name for name, nodes in plan.nodes.items() for node in nodes}
        self._state = dict.fromkeys(self._block_of, "starting")
        self._counters: dict[str, dict[str, Any]] = {}
        self._past: list[tuple[str, dict[str, Any]]] = []
        self._changed: dict[str, dict[str, Any]] = {}
        self._untold: dict[str, deque[bytes]] = {node: deque() for node in self._state}
        self._requests: dict[int, _Request] = {}
        self._new: deque[_Request] = deque()
        self._ids = itertools.count()
        self._poller = zmq.Poller()
        self._node_of: dict[Socket, str] = {}
        self._stop_asked = False
        self._hold = self._held = False
        self.shown: dict[tuple[str, str], dict[str, Any]] = {}
        self._stopped_at = 0.0
        self._halted = False
        self._went_at = 0.0
        self._ended_at = 0.0
        self._on_record = on_record
        self._order: deque[str] = deque()  # blocks alone: a slow `on_record` may be far behind
        self._given = dict.fromkeys(records, 0)
        self._arrived = threading.Event()
        self._all_arrived = False
        self._dispatcher = threading.Thread(target=self._dispatch, name=f"{thread_name} records", daemon=True)
        self.own_threads: set[threading.Thread] = {self, self._dispatcher}

    # -- from any thread -------------------------------------------------------------------------------------------

    def request_stop(self) -> None:
        """Stop soon. Only sets a flag, so that a signal handler may call it."""
        self._stop_asked = True

    def fail(self, message: str, block: str | None = None, traceback_text: str = "") -> None:
        """Note a failure and stop; the first failure is the one that is raised."""
        if self.failure is None:
            self.failure = FlowgraphError(message, block, traceback_text)
        self._stop_asked = True

    def set(self, block: str, values: dict[str, Any], timeout: float) -> str:
        """Have live settings applied by every node of a block; returns the error, if any."""
        request = _Request(next(self._ids), self.plan.nodes[block], values)
        self._new.append(request)
        deadline = time.monotonic() + timeout
        while not request.done.wait(0.05):
            if self.finished.is_set():
                return request.error or f"block {block!r} has ended"
            if any(self._state[node] == "starting" for node in list(request.waiting)):
                deadline = time.monotonic() + timeout
            if time.monotonic() > deadline:
                return f"block {block!r} has not finished its frame within {timeout:g} s"
        return request.error

    def hold(self, value: bool) -> None:
        """Have the sources wait before their next frame, or go on."""
        self._hold = value

    def states(self) -> dict[str, list[dict[str, Any]]]:
        """Newest counter states of the nodes, by block."""
        states: dict[str, list[dict[str, Any]]] = {name: [] for name in self.plan.nodes}
        for node, state in [*self._past, *self._counters.items()]:
            states[self._block_of[node]].append(state)
        return states

    @property
    def stopped(self) -> bool:
        """Whether nodes were told to stop."""
        return bool(self._stopped_at)

    @property
    def duration(self) -> float:
        """Seconds of work so far."""
        return (self._ended_at or time.monotonic()) - self._went_at if self._went_at else 0.0

    # -- this thread -----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Whole life of a run."""
        self._dispatcher.start()
        try:
            self.engine.launch()
            self._conduct()
        except FlowgraphError as error:
            self.failure = self.failure or error
        except BaseException as error:
            text = traceback.format_exc()
            self.failure = self.failure or FlowgraphError(f"the runtime itself failed: {error}", None, text)
        finally:
            self._ended_at = time.monotonic()
            try:
                self.engine.close()
            except BaseException:
                LOG.exception("closing the engine")
            self._let_go()
            self._all_arrived = True
            self._arrived.set()
            self._dispatcher.join(GIVE_UP_S)
            for request in self._requests.values():
                request.done.set()
            self.finished.set()

    def _let_go(self) -> None:
        """Free what is held beside the engine."""

    def _conduct(self) -> None:
        poller = self._poller
        for node, socket in self.engine.lines.items():
            self._listen(node, socket)
        while any(state != "ended" for state in self._state.values()):
            for socket, _ in poller.poll(POLL_MS):
                node = self._node_of[socket]
                for message in take(socket):
                    self._on_message(node, message)
            for node, why in self.engine.newly_dead():
                self._on_dead(node, why)
            for restart in self.engine.newly_restarted():
                self._on_restarted(restart)
            self._send_requests()
            self._step()
            for node, untold in self._untold.items():
                if untold:
                    self._flush(node)

    def _listen(self, node: str, socket: Socket) -> None:
        self._poller.register(socket, zmq.POLLIN)
        self._node_of[socket] = node

    def _step(self) -> None:
        now = time.monotonic()
        if not self._went_at and all(state != "starting" for state in self._state.values()):
            self._went_at = now
            self._tell_all({"op": "go"})
        if self._held != self._hold and self._went_at and not self._stop_asked:
            self._held = self._hold
            self._tell_all({"op": "hold", "value": self._held})
        if self._stop_asked and not self._stopped_at:
            self._stopped_at = now
            self._tell_all({"op": self.stop_by})
        if not self._stopped_at:
            return
        if not self._halted and now > self._stopped_at + DRAIN_S:
            self._halted = True
            self._tell_all({"op": "halt"})
        if now > self._stopped_at + GIVE_UP_S:
            for node in [node for node, state in self._state.items() if state != "ended"]:
                # After a failure it is most likely still starting: importing a network takes longer than stopping may.
                level = logging.INFO if self.failure else logging.WARNING
                LOG.log(level, "block %s did not end in time and was given up", self._block_of[node])
                self.engine.abandon(node)
                self._state[node] = "ended"

    def _on_message(self, node: str, message: dict[str, Any]) -> None:
        op, block = message["op"], self._block_of[node]
        if op == "record":
            self._count(block, message)
        elif op == "show":
            self.shown[block, message["name"]] = message["value"]
        elif op == "counters":
            self._counters[node] = message["counters"]
        elif op == "ready":
            self._state[node] = "running"
        elif op == "done":
            self._counters[node] = message["counters"]
            self._end(node)
        elif op == "failed":
            where = f"block {block!r} failed in {message['phase']}(): " if message["phase"] else ""
            self.fail(where + message["message"], block, message["traceback"])
            self._tell_all({"op": "dead", "node": node}, but=node)
        elif op == "ack":
            request = self._requests.get(message["id"])
            if request is not None:
                self._acknowledge(request, node, message["error"])
        elif op == "log":
            name, level, text = message["record"]
            logging.getLogger(name).log(level, "%s", text)

    def _count(self, block: str, message: dict[str, Any]) -> None:
        """A record has come."""
        self.records[block].append(message["record"])
        if self._on_record is not None:
            self._order.append(block)
            self._arrived.set()

    def _on_dead(self, node: str, why: str) -> None:
        if self._state[node] == "ended":
            return
        for message in self._last_words(node):
            self._on_message(node, message)
        if self._state[node] == "ended":
            return
        block = self._block_of[node]
        if not (self._stopped_at and self._halted):
            self.fail(f"block {block!r}: {why}", block)
        self._end(node)
        self._tell_all({"op": "dead", "node": node}, but=node)

    def _last_words(self, node: str) -> list[dict[str, Any]]:
        """What it said before it died."""
        return take(self.engine.lines[node])

    def _forget_line(self, node: str) -> None:
        socket = self.engine.lines[node]
        self._poller.unregister(socket)
        del self._node_of[socket]

    def _on_restarted(self, restart: Restart) -> None:
        """Tell a node's new life what its old one knew, and the others where it is now."""
        node, block = restart.node, self._block_of[restart.node]
        if self._state[node] == "ended":
            return
        logging.getLogger(f"semstream.{self.plan.graph.name}.{block}").warning("%s; it was started again", restart.why)
        if node in self._counters:
            self._past.append((node, self._counters.pop(node)))
        self._state[node] = "starting"
        self._untold[node].clear()
        self._tell_all({"op": "moved", "node": node, "endpoints": restart.moved}, but=node)
        if block in self._changed:
            self._tell(node, {"op": "set", "id": -1, "values": self._changed[block]})
        for number, request in self._requests.items():
            if node in request.waiting:
                self._tell(node, {"op": "set", "id": number, "values": request.values})
        for other, state in self._state.items():
            if state == "ended":
                self._tell(node, {"op": "dead", "node": other})
        if self._went_at:
            self._tell(node, {"op": "go"})
        if self._stopped_at:
            self._tell(node, {"op": "drain"})

    def _end(self, node: str) -> None:
        self._state[node] = "ended"
        for request in list(self._requests.values()):
            if node in request.waiting:
                self._acknowledge(request, node, f"block {self._block_of[node]!r} has ended")

    def _send_requests(self) -> None:
        while self._new:
            request = self._new.popleft()
            self._requests[request.number] = request
            for node in list(request.waiting):
                if self._state[node] == "ended":
                    self._acknowledge(request, node, f"block {self._block_of[node]!r} has ended")
                else:
                    self._tell(node, {"op": "set", "id": request.number, "values": request.values})

    def _acknowledge(self, request: _Request, node: str, error: str) -> None:
        request.error = request.error or error
        request.waiting.discard(node)
        if not request.waiting:
            self._requests.pop(request.number, None)
            if not request.error:
                self._changed.setdefault(self._block_of[node], {}).update(request.values)
            request.done.set()

    def _tell_all(self, message: dict[str, Any], but: str = "") -> None:
        for node, state in self._state.items():
            if state != "ended" and node != but:
                self._tell(node, message)

    def _tell(self, node: str, message: dict[str, Any]) -> None:
        self._untold[node].append(wire.pack(message))
        self._flush(node)

    def _flush(self, node: str) -> None:
        """Send what waits for a node; one that has not connected yet gets it when it has."""
        untold = self._untold[node]
        with contextlib.suppress(zmq.Again):
            while untold:
                self.engine.lines[node].send(untold[0], zmq.NOBLOCK)
                untold.popleft()

    # -- the dispatcher's thread -----------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        """Call `on_record` in a thread of its own, so that it may call `Run.set` and `Run.stop`."""
        while True:
            self._arrived.wait()
            self._arrived.clear()
            ending = self._all_arrived
            while self._order:
                block = self._order.popleft()
                try:
                    assert self._on_record is not None
                    for number, record in itertools.islice(self.records[block].since(self._given[block]), 1):
                        self._given[block] = number + 1
                        self._on_record(block, record)
                except BaseException as error:
                    self._on_record = None
                    self._order.clear()
                    self.fail(f"on_record raised {type(error).__name__}: {error}", block, traceback.format_exc())
                    break
            if ending:
                return
