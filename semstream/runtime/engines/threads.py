"""Engine `threads`: one thread a block, edges over inproc, which carries handles (arrays are shared, not copied)."""

from __future__ import annotations

import secrets
import threading

import zmq

from semstream.runtime.durable.store import MemoryStore
from semstream.runtime.edges.handles import Mailboxes
from semstream.runtime.edges.sockets import Socket, open_socket
from semstream.runtime.engines.control import MAX_RECORD_BYTES
from semstream.runtime.engines.durable_node import make_node
from semstream.runtime.engines.engine import Restart
from semstream.runtime.engines.node import run_node
from semstream.runtime.engines.renewal import guarded, renewed
from semstream.runtime.graph.plan import Placed, Plan

RENEW_S = 10.0
_LEFT_OPEN: list[zmq.Context[Socket]] = []
"""Contexts with an abandoned thread: collecting one would wait for that thread's sockets, perhaps for ever."""


class ThreadEngine:
    """The default engine: everything in this process."""

    name = "threads"

    def __init__(self, plan: Plan) -> None:
        self.lines: dict[str, Socket] = {}
        self._context: zmq.Context[Socket] = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, 8192)
        self._mailboxes = Mailboxes()
        self._placed = plan.place(
            lambda i: f"inproc://control-{i}", lambda i, r, _: f"inproc://edge-{i}-{r}", lambda block: ""
        )
        self._placed = guarded(self._placed, plan, secrets.token_hex(6), "")
        self._memory = MemoryStore()
        self._threads: dict[str, threading.Thread] = {}
        self._abandoned: set[str] = set()

    def launch(self) -> None:
        """Open the control lines and start every node."""
        for placed in self._placed:
            line = open_socket(self._context, zmq.DEALER, MAX_RECORD_BYTES, 0)
            line.bind(placed.spec.control)
            self.lines[placed.spec.node] = line
        for placed in self._placed:
            self._start(placed, fresh=placed.replica > 0)

    def _start(self, placed: Placed, fresh: bool) -> None:
        block = placed.block
        if fresh:
            settings = {name: getattr(block.settings, name) for name in type(block.settings).model_fields}
            block = type(block)(name=block.name, **settings)
        node = make_node(placed.spec, block, self._context, None, placed.out_types, self._mailboxes, self._memory)
        thread = threading.Thread(target=run_node, args=(node,), name=placed.spec.node, daemon=True)
        self._threads[placed.spec.node] = thread
        thread.start()

    def together(self, node: str) -> list[str]:
        """Each thread dies alone."""
        return [node]

    def renew(self, nodes: list[str], finished: tuple[str, ...], ended: dict[str, tuple[str, ...]]) -> None:
        """Start a thread with a new block of the same settings."""
        for node in nodes:
            if node in self._threads:
                self._threads[node].join(RENEW_S)
            i = next(i for i, placed in enumerate(self._placed) if placed.spec.node == node)
            placed = self._placed[i] = renewed(self._placed[i], finished, ended)
            self.lines[node].close(0)
            line = self.lines[node] = open_socket(self._context, zmq.DEALER, MAX_RECORD_BYTES, 0)
            line.bind(placed.spec.control)
            self._start(placed, fresh=True)

    def left(self) -> list[threading.Thread]:
        """Threads that were abandoned and still run."""
        return [thread for thread in self._threads.values() if thread.is_alive()]

    def newly_dead(self) -> list[tuple[str, str]]:
        """Threads that have ended; the conductor ignores those that have said so."""
        gone = [node for node, thread in self._threads.items() if not thread.is_alive()]
        for node in gone:
            del self._threads[node]
        return [(node, "its thread ended without a word") for node in gone]

    def newly_restarted(self) -> list[Restart]:
        """None: what dies here ends the run."""
        return []

    def abandon(self, node: str) -> None:
        """A thread cannot be killed; as a daemon it does not hold up the exit of the process."""
        self._abandoned.add(node)

    def close(self) -> None:
        """Close the lines, and the context unless an abandoned thread still uses it."""
        for node, thread in self._threads.items():
            if node not in self._abandoned:
                thread.join(1.0)
        self._mailboxes.close()
        for line in self.lines.values():
            line.close(0)
        if not any(thread.is_alive() for thread in self._threads.values()):
            self._context.term()
        else:
            _LEFT_OPEN.append(self._context)
