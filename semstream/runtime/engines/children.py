"""Child processes of a run: forked from a server that has loaded PyTorch once, or fresh interpreters.

A forked child is there in milliseconds and shares the memory of what the server had imported; a fresh interpreter pays
for its own imports. Both get their job as JSON, both die with their owner.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

LOG = logging.getLogger("semstream")
GONE = 1 << 16
"""Status of a process that has ended unseen."""
POLL_S = 0.02


def is_stopped(pid: int) -> bool:
    """Whether a process has been stopped by a signal, such as SIGSTOP; False where the system does not tell."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as facts:
            return facts.read().rpartition(b")")[2].split()[:1] == [b"T"]
    except OSError:
        return False


class Child(Protocol):
    """A child process, as `subprocess.Popen` shows one."""

    @property
    def pid(self) -> int:
        """Its number; 0 as long as it has none."""

    def poll(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for it and return its exit status; raises `subprocess.TimeoutExpired`."""

    def kill(self) -> None:
        """SIGKILL."""


class Children:
    """Starts the children of one run.

    Parameters
    ----------
    folder
        Folder of the run's sockets; who outlives a killed owner removes it.
    fork
        Whether to try a fork server; otherwise each child is a fresh interpreter.
    keep
        Descriptors that every child holds as long as it lives.
    """

    def __init__(self, folder: str, fork: bool = True, keep: Sequence[int] = ()) -> None:
        self._folder = folder
        self._keep = keep
        self._environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
        self._pipes: list[Any] = []
        self._server: ForkServer | None = None
        if fork:
            try:
                self._server = ForkServer(self._environment, folder, self._fresh, keep)
            except (OSError, AttributeError) as error:  # a limit is reached; a system without pidfd
                LOG.warning("no fork server (%s): every block starts an interpreter of its own", error)

    def preload(self, modules: Iterable[str]) -> None:
        """Have modules imported for all children that are started later."""
        if self._server is not None:
            self._server.preload(list(dict.fromkeys(modules)))

    def start(self, job: Mapping[str, Any]) -> Child:
        """Start a child for a job as `semstream.runtime.engines.child.run` takes it."""
        return self._server.start(job) if self._server is not None else self._fresh(job)

    def let_go(self) -> None:
        """Close every lifeline: a child that still runs ends itself."""
        if self._server is not None:
            self._server.let_go()
        for pipe in self._pipes:
            with contextlib.suppress(OSError):
                pipe.close()

    def close(self) -> None:
        """End the server; every child has ended."""
        if self._server is not None:
            self._server.close()

    def _fresh(self, job: Mapping[str, Any]) -> Child:
        child = subprocess.Popen(
            [sys.executable, "-c", "from semstream.runtime.engines.child import main; main()", self._folder],
            stdin=subprocess.PIPE,
            env=self._environment,
            pass_fds=self._keep,
            process_group=0,  # Ctrl-C reaches the owner alone, which then stops the children in order
        )
        assert child.stdin is not None
        self._pipes.append(child.stdin)
        with contextlib.suppress(BrokenPipeError):  # it has died already; its status says how
            child.stdin.write(json.dumps(job).encode() + b"\n")
            child.stdin.flush()
        return child


class ForkServer:
    """Owner's end of a fork server (`semstream.runtime.engines.fork_server`).

    If the server dies or is unfit before it has forked a child, the child becomes a fresh interpreter, and the log
    says so; children that it has forked do not depend on it.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        folder: str,
        fresh: Callable[[Mapping[str, Any]], Child],
        keep: Sequence[int] = (),
    ) -> None:
        _ = os.pidfd_open, signal.pidfd_send_signal  # Linux
        self._fresh = fresh
        self._socket, theirs = socket.socketpair()
        with theirs:
            command = "from semstream.runtime.engines.fork_server import main; main()"
            self._process = subprocess.Popen(
                [sys.executable, "-c", command, str(theirs.fileno()), folder],
                stdin=subprocess.PIPE,
                env=environment,
                pass_fds=[theirs.fileno(), *keep],
                process_group=0,
            )
        self._socket.setblocking(False)
        self._children: list[ForkedChild] = []
        self._text = b""
        self._descriptors: list[int] = []
        self._lost = False
        self._unsent = bytearray()

    def preload(self, modules: list[str]) -> None:
        """Have modules imported before further children are forked."""
        self._send({"import": modules})

    def start(self, job: Mapping[str, Any]) -> Child:
        """Have a child forked, once the server has imported what it was told to."""
        child = ForkedChild(self, dict(job) | {"id": len(self._children)})
        self._children.append(child)
        if self._lost:
            child.stand_in = self._fresh(child.job)
        else:
            self._send(child.job)
        return child

    def drain(self) -> None:
        """Take what the server has said."""
        if self._lost:
            return
        self._flush()
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._socket, 65536, 64)
            except BlockingIOError:
                break
            except OSError:
                data, descriptors = b"", []
            self._descriptors += descriptors
            *lines, self._text = (self._text + data).split(b"\n")
            for line in lines:
                self._on(json.loads(line))
            if not data:
                self._lose("it has died")
                return

    def let_go(self) -> None:
        """Close the lifeline that all children share; what has not been forked will not be."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.kill()
        self._lost = True
        for child in self._children:
            if child.pidfd is None and child.stand_in is None and child.status is None:
                child.status = -signal.SIGKILL

    def close(self) -> None:
        """End the server."""
        self._lost = True
        self._socket.close()
        self._process.kill()
        self._process.wait()
        for child in self._children:
            child.close()

    def _on(self, message: dict[str, Any]) -> None:
        if "threads" in message:
            if message["threads"] > 1:
                self._process.kill()
                self._lose("a module starts threads when it is imported")
        elif "started" in message:
            self._children[message["started"]].begin(self._descriptors.pop(0))
        elif "ended" in message:
            self._children[message["ended"]].status = message["status"]

    def _send(self, message: Mapping[str, Any]) -> None:
        data = json.dumps(message).encode()
        self._unsent += len(data).to_bytes(4, "big") + data
        self._flush()

    def _flush(self) -> None:
        with contextlib.suppress(OSError):  # that it is full or has died, the next drain sees
            while self._unsent:
                del self._unsent[: self._socket.send(self._unsent)]

    def _lose(self, why: str) -> None:
        self._lost = True
        orphans = [child for child in self._children if child.pidfd is None and child.status is None]
        if orphans:
            LOG.warning("no fork server (%s): %d blocks start interpreters of their own", why, len(orphans))
        for child in orphans:
            if child.unwanted:
                child.status = -signal.SIGKILL
            else:
                child.stand_in = self._fresh(child.job)


class ForkedChild:
    """A child that the server forks, or the fresh interpreter that stands in for it."""

    def __init__(self, server: ForkServer, job: dict[str, Any]) -> None:
        self._server = server
        self.job = job
        self.pidfd: int | None = None
        self.status: int | None = None
        self.stand_in: Child | None = None
        self.unwanted = False

    @property
    def pid(self) -> int:
        """Its number; 0 as long as it has none, and once it has ended."""
        if self.stand_in is not None:
            return self.stand_in.pid
        if self.pidfd is None:
            return 0
        with contextlib.suppress(OSError), open(f"/proc/self/fdinfo/{self.pidfd}") as facts:
            return max(0, next((int(line.split()[1]) for line in facts if line.startswith("Pid:")), 0))
        return 0

    def begin(self, pidfd: int) -> None:
        """It has been forked."""
        self.pidfd = pidfd
        if self.unwanted:
            self.kill()

    def poll(self) -> int | None:
        """Exit status, negative for a signal, `GONE` if nobody saw it; None while it runs."""
        if self.status is None:
            self._server.drain()
        if self.stand_in is not None:
            return self.stand_in.poll()
        if self.status is None and self.pidfd is not None and self._server._lost and self._has_ended():
            self.status = GONE
        return self.status

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; raises `subprocess.TimeoutExpired`."""
        deadline = time.monotonic() + (timeout if timeout is not None else float("inf"))
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(self.job["name"], timeout or 0.0)
            if self.pidfd is None or self._has_ended():
                time.sleep(POLL_S)
            else:
                self._ended_within(POLL_S)
        return status

    def kill(self) -> None:
        """SIGKILL, by descriptor: no other process can be meant."""
        self.unwanted = True
        if self.stand_in is not None:
            self.stand_in.kill()
        elif self.pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        else:
            self._server.drain()

    def close(self) -> None:
        """Give the descriptor back."""
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None

    def _has_ended(self) -> bool:
        return self._ended_within(0.0)

    def _ended_within(self, seconds: float) -> bool:
        assert self.pidfd is not None
        return bool(select.select([self.pidfd], [], [], seconds)[0])
