"""Fork server: a process that imports what many blocks need once, and forks the children of a run.

Started by `semstream.runtime.engines.children`. Standard input is the lifeline that every child inherits: it closes
when the owner dies, however it dies. Over the socket come messages, each its length in 4 bytes and JSON:
``{"import": [modules]}`` and ``{"id": id, "name": ..., ...}``, a job. Back go lines of JSON: ``{"threads": count}``
after each import, ``{"started": id}`` with a pidfd of the child, and ``{"ended": id, "status": status}`` as
`subprocess` counts it. Jobs that need no network come first: forking a process that has loaded PyTorch takes ten times
as long.

PyTorch has no thread of its own until it first works, ZeroMQ none until there is a context; so neither is used here,
and a module that starts a Python thread when it is imported makes the server unfit, which the owner is told.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
from typing import Any

from semstream.runtime.engines.folder import remove_folder


def main() -> None:
    """Do as the owner says until it goes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if _serve(socket.socket(fileno=int(sys.argv[1]))):
        remove_folder(sys.argv[2])
    os._exit(0)


def _serve(owner: socket.socket) -> bool:
    """Whether it has ended because the owner has gone."""
    children: dict[int, tuple[int, int]] = {}
    waiting = select.poll()
    waiting.register(owner, select.POLLIN)
    while True:
        for fd, _ in waiting.poll():
            if fd == owner.fileno():
                message = _take(owner)
                if message is None:
                    return True
                if "import" in message:
                    _import(message["import"])
                    threads = threading.active_count()
                    _tell(owner, {"threads": threads})
                    if threads > 1:
                        return False
                    continue
                pid = os.fork()
                if pid == 0:
                    _become_child(owner, list(children), message)
                pidfd = os.pidfd_open(pid)
                children[pidfd] = (message["id"], pid)
                waiting.register(pidfd, select.POLLIN)
                _tell(owner, {"started": message["id"]}, pidfd)
            else:
                number, pid = children.pop(fd)
                _, status = os.waitpid(pid, 0)
                waiting.unregister(fd)
                os.close(fd)
                _tell(owner, {"ended": number, "status": os.waitstatus_to_exitcode(status)})


def _import(modules: list[str]) -> None:
    for name in modules:
        with contextlib.suppress(Exception):  # the child that needs it tells what is wrong
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # what is here stays as it is, so that its memory stays shared


def _become_child(owner: socket.socket, others: list[int], job: dict[str, Any]) -> None:
    from semstream.runtime.engines.child import run

    try:
        os.setpgid(0, 0)  # Ctrl-C reaches the owner alone
        owner.close()
        for fd in others:
            os.close(fd)
        with contextlib.suppress(OSError), open("/proc/self/comm", "w", encoding="utf-8") as name:
            name.write(job["name"][:15])  # what top shows
        run(job)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    os._exit(1)


def _take(owner: socket.socket) -> dict[str, Any] | None:
    head = _read(owner, 4)
    body = head and _read(owner, int.from_bytes(head, "big"))
    return json.loads(body) if body else None


def _read(owner: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        try:
            part = owner.recv(count - len(data))
        except ConnectionError:  # it has gone without reading all that it was told
            return b""
        if not part:
            return b""
        data += part
    return data


def _tell(owner: socket.socket, message: dict[str, Any], fd: int | None = None) -> None:
    with contextlib.suppress(OSError):
        socket.send_fds(owner, [json.dumps(message).encode() + b"\n"], [] if fd is None else [fd])
