"""Engine `processes`: a process a block (or group of blocks), edges over ipc in a private folder.

Large arrays go through shared memory (`semstream.runtime.edges.slots`).

A child gets its nodes as JSON: the class as ``module:qualname``, the settings as JSON. Children are forked from a
server that has imported what the blocks say they need (`Block.preload`), which takes the time and the memory of PyTorch
once; the user's script is imported only where one of its blocks is defined there. A pipe is every child's lifeline:
when the owner dies, however it dies, it closes and the child exits. The link of `flowgraphs/awgn_link.py`, 22 blocks on
2 cores: see ``python tools/bench.py --only start``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import zmq

from semstream.runtime.block.reference import main_path, reference_of
from semstream.runtime.edges import sockets
from semstream.runtime.edges.sockets import Socket
from semstream.runtime.engines.children import GONE, Child, Children, is_stopped
from semstream.runtime.engines.control import MAX_RECORD_BYTES
from semstream.runtime.engines.engine import Restart
from semstream.runtime.engines.folder import choose_folder, make_folder, remove_folder
from semstream.runtime.engines.renewal import guarded, renewed
from semstream.runtime.graph.plan import Placed, Plan

EXIT_S = 1.0
RENEW_S = 10.0
STOPPED_S = 3.0
LOOK_S = 0.5


class ProcessEngine:
    """Every block in a process of its own, on this machine."""

    name = "processes"

    def __init__(self, plan: Plan) -> None:
        self.lines: dict[str, Socket] = {}
        for block in plan.graph.blocks.values():
            reference_of(block)
        self._directory = choose_folder()
        self._context: zmq.Context[Socket] = zmq.Context()
        directory = self._directory
        self._placed = plan.place(
            lambda i: f"ipc://{directory}/control-{i}",
            lambda i, r, together: f"inproc://edge-{i}-{r}" if together else f"ipc://{directory}/edge-{i}-{r}",
            reference_of,
        )
        self._placed = guarded(self._placed, plan, os.path.basename(directory), directory)
        self._kept_open = plan.standing.locks if plan.standing is not None else ()
        self._starter: Children | None = None
        self._children: dict[str, Child] = {}
        self._process_of = {placed.spec.node: placed.process for placed in self._placed}
        self._monitors: dict[str, Socket] = {}
        self._reported: set[str] = set()
        self._disconnected: set[str] = set()
        self._exited_at: dict[str, float] = {}
        self._stopped_at: dict[str, float] = {}
        self._looked_at = 0.0

    def launch(self) -> None:
        """Open the control lines and start every process."""
        if not self._placed:  # all had ended before
            return
        # First: it removes the folder if this process is killed.
        self._starter = Children(self._directory, keep=self._kept_open)
        make_folder(self._directory)
        groups: dict[str, list[dict[str, object]]] = {}
        for placed in self._placed:
            groups.setdefault(placed.process, []).append(self._open_line(placed))
        self._start(groups, self._starter)

    def _open_line(self, placed: Placed) -> dict[str, object]:
        """The owner's end of a node's line, and what the child is told of the node."""
        line = sockets.open_socket(self._context, zmq.DEALER, MAX_RECORD_BYTES, sockets.STARVED_MS)
        self._monitors[placed.spec.node] = sockets.monitor(line)
        line.bind(placed.spec.control)
        self.lines[placed.spec.node] = line
        types = {port: t.describe() for port, t in placed.out_types.items()}
        return {"spec": placed.spec.to_plain(), "out_types": types}

    def together(self, node: str) -> list[str]:
        """The nodes of its process."""
        process = self._process_of[node]
        return [other for other, its in self._process_of.items() if its == process]

    def renew(self, nodes: list[str], finished: tuple[str, ...], ended: dict[str, tuple[str, ...]]) -> None:
        """Start one process with these nodes, in place of one that has died or is to."""
        process = self._process_of[nodes[0]]
        self._kill(process)
        self._children[process].wait(RENEW_S)
        entries = []
        for i, placed in enumerate(self._placed):
            node = placed.spec.node
            if node not in nodes:
                continue
            self.lines[node].disable_monitor()
            self._monitors[node].close(0)
            self.lines[node].close(0)
            self._placed[i] = renewed(placed, finished, ended)
            entries.append(self._open_line(self._placed[i]))
            self._reported.discard(node)
            self._disconnected.discard(node)
            self._exited_at.pop(node, None)
        assert self._starter is not None
        self._children[process] = self._starter.start(self._job(process, entries))

    def _start(self, groups: dict[str, list[dict[str, object]]], starter: Children) -> None:
        heavy: dict[str, list[str]] = {}
        for placed in self._placed:
            if modules := placed.block.preload():
                heavy.setdefault(placed.process, []).extend(modules)
        starter.preload(placed.spec.reference.partition(":")[0] for placed in self._placed)
        for process in sorted(groups, key=lambda process: process in heavy):  # the light ones run meanwhile
            if process in heavy and not heavy.keys() & self._children.keys():
                starter.preload(module for modules in heavy.values() for module in modules)
            self._children[process] = starter.start(self._job(process, groups[process]))

    def _job(self, process: str, nodes: list[dict[str, object]]) -> dict[str, object]:
        return {
            "name": process,
            "nodes": nodes,
            "main": main_path(),
            "argv": sys.argv,
            "folder": self._directory,
        }

    def newly_dead(self) -> list[tuple[str, str]]:
        """Nodes whose process has ended, was stopped, or has fallen silent.

        One that gets no CPU is silent as well, and so has longer than one of which the system says that it is stopped.
        """
        dead = []
        stopped = self._stopped()
        for node, process in self._process_of.items():
            if node in self._reported:
                continue
            if zmq.EVENT_DISCONNECTED in sockets.monitor_events(self._monitors[node]):
                self._disconnected.add(node)
            status = self._children[process].poll()
            if status is not None:
                # Its last words may still be under way: they have come once its connection has closed.
                now = time.monotonic()
                if node in self._disconnected or now - self._exited_at.setdefault(node, now) > EXIT_S:
                    self._reported.add(node)
                    dead.append((node, _death(status)))
            elif process in stopped:
                self._reported.add(node)
                dead.append((node, f"its process is silent (stopped by a signal for {STOPPED_S:g} s)"))
                self._kill(process)
            elif self._is_cut(process) and not self._leaving(process):
                self._reported.add(node)
                silent = sockets.STARVED_MS / 1000
                dead.append((node, f"its process is silent (no heartbeat for {silent:g} s)"))
                self._kill(process)
        return dead

    def _stopped(self) -> set[str]:
        """Processes that have been stopped at every look of the last seconds, this one's own pauses not counted."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_S:
            return set()
        if now - self._looked_at > STOPPED_S:  # nobody looked: perhaps all were stopped together
            self._stopped_at.clear()
        self._looked_at = now
        at = {process: now for process, child in self._children.items() if is_stopped(child.pid)}
        self._stopped_at = {process: self._stopped_at.get(process, since) for process, since in at.items()}
        return {process for process, since in self._stopped_at.items() if now - since >= STOPPED_S}

    def newly_restarted(self) -> list[Restart]:
        """None: what dies here ends the run."""
        return []

    def left(self) -> list[threading.Thread]:
        """None: every process has ended."""
        return []

    def abandon(self, node: str) -> None:
        """Kill the node's process."""
        self._kill(self._process_of[node])

    def close(self) -> None:
        """Wait shortly for the children, kill what is left, remove the directory."""
        if self._starter is not None:
            self._starter.let_go()
        for process, child in self._children.items():
            try:
                child.wait(EXIT_S)
            except subprocess.TimeoutExpired:
                self._kill(process)
                child.wait()
        if self._starter is not None:
            self._starter.close()
        for node, line in self.lines.items():
            line.disable_monitor()
            self._monitors[node].close(0)
            line.close(0)
        self._context.term()
        remove_folder(self._directory)

    def _is_cut(self, process: str) -> bool:
        """Whether all its lines are lost: a node that has ended closes its own, and others may go on beside it."""
        return all(node in self._disconnected for node, where in self._process_of.items() if where == process)

    def _leaving(self, process: str) -> bool:
        """Whether the process is just exiting: its connection closes a little before it does."""
        try:
            self._children[process].wait(0.2)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _kill(self, process: str) -> None:
        self._children[process].kill()


def _death(status: int) -> str:
    if status == GONE:
        return "its process has ended, and so has the fork server that could say how"
    if status < 0:
        return f"its process was killed by {signal.Signals(-status).name}"
    return f"its process ended with status {status} before its block had; see its output above"
