"""Engine `processes`: one fresh interpreter a block (or group of blocks), edges over ipc in a private directory.

A child gets its nodes as JSON on its standard input: the class as ``module:qualname``, the settings as JSON. The same
pipe is its lifeline: when the owner dies, however it dies, the pipe closes and the child exits. A fresh interpreter is
what `multiprocessing` calls spawn; starting it here directly spares every child the import of the user's script, with
all that this imports in turn, unless one of its blocks is defined there.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import IO

import zmq

from semstream.runtime.block.reference import main_path, reference_of
from semstream.runtime.edges import sockets
from semstream.runtime.edges.sockets import Socket
from semstream.runtime.engines.control import MAX_RECORD_BYTES
from semstream.runtime.graph.plan import Plan

MAX_IPC_PATH = 100
EXIT_S = 1.0


class ProcessEngine:
    """Every block in a process of its own, on this machine."""

    name = "processes"

    def __init__(self, plan: Plan) -> None:
        self.lines: dict[str, Socket] = {}
        for block in plan.graph.blocks.values():
            reference_of(block)
        self._directory = _private_directory()
        self._context: zmq.Context[Socket] = zmq.Context()
        directory = self._directory
        self._placed = plan.place(
            lambda i: f"ipc://{directory}/control-{i}",
            lambda i, r, together: f"inproc://edge-{i}-{r}" if together else f"ipc://{directory}/edge-{i}-{r}",
            reference_of,
        )
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._process_of = {placed.spec.node: placed.process for placed in self._placed}
        self._monitors: dict[str, Socket] = {}
        self._reported: set[str] = set()
        self._disconnected: set[str] = set()
        self._exited_at: dict[str, float] = {}
        self._pipes: list[IO[bytes]] = []

    def launch(self) -> None:
        """Open the control lines and start every process."""
        groups: dict[str, list[dict[str, object]]] = {}
        for placed in self._placed:
            line = sockets.open_socket(self._context, zmq.DEALER, MAX_RECORD_BYTES, True)
            self._monitors[placed.spec.node] = sockets.monitor(line)
            line.bind(placed.spec.control)
            self.lines[placed.spec.node] = line
            types = {port: t.describe() for port, t in placed.out_types.items()}
            groups.setdefault(placed.process, []).append({"spec": placed.spec.to_plain(), "out_types": types})
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
        for process, nodes in groups.items():
            child = subprocess.Popen(
                [sys.executable, "-c", "from semstream.runtime.engines.child import main; main()"],
                stdin=subprocess.PIPE,
                env=environment,
                process_group=0,  # Ctrl-C reaches the owner alone, which then stops the children in order
            )
            self._children[process] = child
            assert child.stdin is not None
            self._pipes.append(child.stdin)
            job = {"nodes": nodes, "main": main_path(), "argv": sys.argv}
            try:
                child.stdin.write(json.dumps(job).encode() + b"\n")
                child.stdin.flush()
            except BrokenPipeError:
                pass  # it has died already; newly_dead says how

    def newly_dead(self) -> list[tuple[str, str]]:
        """Nodes whose process has ended or fallen silent."""
        dead = []
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
            elif node in self._disconnected and not self._leaving(process):
                self._reported.add(node)
                dead.append((node, "its process is silent (no heartbeat for 3 s)"))
                self._kill(process)
        return dead

    def abandon(self, node: str) -> None:
        """Kill the node's process."""
        self._kill(self._process_of[node])

    def close(self) -> None:
        """Wait shortly for the children, kill what is left, remove the directory."""
        for pipe in self._pipes:
            with contextlib.suppress(OSError):
                pipe.close()
        for process, child in self._children.items():
            try:
                child.wait(EXIT_S)
            except subprocess.TimeoutExpired:
                self._kill(process)
                child.wait()
        for node, line in self.lines.items():
            line.disable_monitor()
            self._monitors[node].close(0)
            line.close(0)
        self._context.term()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _leaving(self, process: str) -> bool:
        """Whether the process is just exiting: its connection closes a little before it does."""
        try:
            self._children[process].wait(0.2)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _kill(self, process: str) -> None:
        self._children[process].kill()


def _private_directory() -> str:
    directory = tempfile.mkdtemp(prefix="semstream-")  # mode 0700
    if len(directory) > MAX_IPC_PATH - 20:
        os.rmdir(directory)
        directory = tempfile.mkdtemp(prefix="semstream-", dir="/tmp")  # the path of an ipc socket has 107 bytes
    return directory


def _death(status: int) -> str:
    if status < 0:
        return f"its process was killed by {signal.Signals(-status).name}"
    return f"its process ended with status {status} before its block had; see its output above"
