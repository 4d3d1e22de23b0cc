"""Worker: the actor that runs the nodes of one process of a run on a host of the cluster.

Its methods are called by Ray. What they take and give is text and bytes that this library packs and checks itself.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import secrets
import socket
import sys
import tempfile
import threading
import traceback
from typing import Any

import zmq

import semstream
from semstream.runtime.edges.handles import Mailboxes
from semstream.runtime.edges.sockets import LINGER_MS, Socket, authenticate
from semstream.runtime.engines.child import build
from semstream.runtime.engines.cluster.bridge import Bridge
from semstream.runtime.engines.control import ControlLine, LogForwarder
from semstream.runtime.engines.node import Node, run_node
from semstream.runtime.frames.types import PortType
from semstream.runtime.graph.endpoints import CurveKeys
from semstream.runtime.graph.nodes import NodeSpec

GROUPS = {"take": 1, "tell": 1}
"""Calls of one group run one after another, beside those of the others."""
MANY_MESSAGES = 2000
BATCH_BYTES = 4 * 2**20

Batch = tuple[str, int, list[tuple[str, bytes]], bool]
"""Which life of the actor speaks, number of the batch, (node, message), whether every node has ended."""


class Worker:
    """One process of a run. Ray makes it an actor."""

    def __init__(self) -> None:
        self._life = secrets.token_hex(8)
        self._reserved: list[socket.socket] = []
        self._context: zmq.Context[Socket] = zmq.Context()
        self._bridge: Bridge | None = None
        self._threads: list[threading.Thread] = []
        self._begun = False
        self._news = threading.Condition()
        self._said: list[tuple[str, bytes]] = []
        self._batch: list[tuple[str, bytes]] = []
        self._number = 0

    def greet(self) -> str:
        """Who this is, as JSON: life, host, process, versions."""
        import ray

        facts = {
            "life": self._life,
            "host": ray.util.get_node_ip_address(),
            "pid": os.getpid(),
            "semstream": semstream.__version__,
            "python": platform.python_version(),
        }
        return json.dumps(facts)

    def reserve(self, hosts: list[str]) -> list[int]:
        """A free port on each of these addresses of this host.

        They stay reserved while this lives: the socket that holds one lets the edge's own socket beside it, which alone
        listens, and lets no other have it.
        """
        for host in hosts:
            holder = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind((host, 0))
            self._reserved.append(holder)
        return [holder.getsockname()[1] for holder in self._reserved[-len(hosts) :]] if hosts else []

    def begin(self, job: str) -> None:
        """Make the nodes of a job and start them; what goes wrong is told over the control lines.

        Parameters
        ----------
        job
            JSON: ``nodes`` (each ``spec`` and ``out_types``), ``path`` and ``argv`` of the owner, ``main`` and
            ``main_text`` of its script, ``clients`` (public CURVE keys that may dial in this run).
        """
        work: dict[str, Any] = json.loads(job)
        sys.argv = work["argv"]
        sys.path += [path for path in work["path"] if path not in sys.path]
        logs = LogForwarder()
        logging.getLogger().addHandler(logs)
        logging.getLogger("semstream").setLevel(logging.INFO)
        if work["clients"]:
            authenticate(self._context, CurveKeys("", "", clients=tuple(work["clients"])))
        specs = [NodeSpec.from_plain(item["spec"]) for item in work["nodes"]]
        lines = {spec.node: spec.control for spec in specs}
        self._bridge = Bridge(self._context, lines, True, self._hear, lambda: len(self._said) > MANY_MESSAGES)
        self._bridge.start()
        main = _script(work["main"], work["main_text"])
        mailboxes = Mailboxes()
        for spec, item in zip(specs, work["nodes"], strict=True):
            try:
                block = build(spec, main)
                types = {port: PortType.from_description(t) for port, t in item["out_types"].items()}
            except BaseException as error:
                self._fail(spec, error)
                continue
            node = Node(spec, block, self._context, logs, types, mailboxes)
            self._threads.append(threading.Thread(target=run_node, args=(node,), name=spec.node, daemon=True))
        for thread in self._threads:
            thread.start()
        self._begun = True

    def take(self, have: int, seconds: float) -> Batch:
        """What the nodes have said since batch `have`, waiting up to `seconds` for it; again, if that was lost."""
        if have == self._number:
            with self._news:
                if not self._said:
                    self._news.wait(seconds)
                self._batch = self._next_batch()
            if self._batch:
                self._number += 1
        ended = self._begun and not self._said and not any(thread.is_alive() for thread in self._threads)
        return self._life, self._number, self._batch, ended

    def tell(self, node: str, message: bytes) -> None:
        """Take a message of the owner to a node."""
        assert self._bridge is not None
        self._bridge.give(node, message)

    def _hear(self, node: str, message: bytes) -> None:
        with self._news:
            self._said.append((node, message))
            self._news.notify()

    def _next_batch(self) -> list[tuple[str, bytes]]:
        size, count = 0, 0
        for _, message in self._said:
            size += len(message)
            count += 1
            if size > BATCH_BYTES:
                break
        batch, self._said = self._said[:count], self._said[count:]
        return batch

    def _fail(self, spec: NodeSpec, error: BaseException) -> None:
        module, _, name = spec.reference.partition(":")
        text = "".join(traceback.format_exception(error))
        message, phase = f"{type(error).__name__}: {error}", "load"
        if isinstance(error, ImportError | AttributeError | OSError):
            phase = ""
            where = "the script" if module == "__main__" else f"module {module!r}"
            message = (
                f"block {spec.block!r}: host {socket.gethostname()} of the cluster cannot import its class {name!r} of "
                f"{where} ({message}); install the module on every host, or let Ray bring it: "
                "RayCluster(runtime_env={'working_dir': FOLDER})"
            )
            text = ""
        line = ControlLine(self._context, spec.control)
        line.tell("failed", phase=phase, message=message, traceback=text)
        line.tell("done", counters={})
        line.socket.close(LINGER_MS)


def _script(path: str, text: str) -> str:
    """Path of the owner's script on this host; where there is none, its text is put into a file."""
    if not path or os.path.exists(path):
        return path
    folder = tempfile.mkdtemp(prefix="semstream-script-")
    copy = os.path.join(folder, os.path.basename(path))
    with open(copy, "w", encoding="utf-8") as file:
        file.write(text)
    return copy
