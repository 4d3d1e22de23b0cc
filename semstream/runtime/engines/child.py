"""Main of a child process of the engine `processes`."""

from __future__ import annotations

import importlib
import json
import logging
import os
import signal
import sys
import threading
from typing import Any, NoReturn

import zmq

from semstream.runtime.block.block import Block
from semstream.runtime.edges.handles import Mailboxes
from semstream.runtime.edges.sockets import LINGER_MS, Socket
from semstream.runtime.engines.control import ControlLine, LogForwarder
from semstream.runtime.engines.durable_node import make_node
from semstream.runtime.engines.folder import remove_folder
from semstream.runtime.engines.main_script import load_main
from semstream.runtime.engines.node import run_node
from semstream.runtime.frames.types import PortType
from semstream.runtime.graph.nodes import NodeSpec


def main() -> None:
    """Of a fresh interpreter: read the job from standard input and run it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # sent to the group; the owner coordinates the stop
    line = sys.stdin.buffer.readline()
    if not line:  # the owner was killed before it could say what to do
        remove_folder(sys.argv[1])
        os._exit(1)
    run(json.loads(line))


def run(job: dict[str, Any]) -> NoReturn:
    """Run the nodes of a job, and exit when they have ended or the owner has died.

    Parameters
    ----------
    job
        ``name`` of the process, ``nodes`` (each ``spec`` and ``out_types``), ``main`` and ``argv`` of the owner,
        ``folder`` of the run's sockets.
    """
    threading.Thread(target=_exit_with_owner, args=(job["folder"],), name="lifeline", daemon=True).start()
    logs = LogForwarder()
    logging.getLogger().addHandler(logs)
    logging.getLogger("semstream").setLevel(logging.INFO)
    sys.argv = job["argv"]
    context: zmq.Context[Socket] = zmq.Context()
    mailboxes = Mailboxes()
    threads = []
    for item in job["nodes"]:
        spec = NodeSpec.from_plain(item["spec"])
        try:
            block = build(spec, job["main"])
            types = {port: PortType.from_description(t) for port, t in item["out_types"].items()}
        except BaseException as error:
            _report_failure(context, spec, error)
            continue
        node = make_node(spec, block, context, logs, types, mailboxes)
        threads.append(threading.Thread(target=run_node, args=(node,), name=spec.node, daemon=True))
    for thread in threads[1:]:
        thread.start()
    if threads:
        threads[0].run()  # the main thread works too: some libraries want it
    for thread in threads[1:]:
        thread.join()
    context.term()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # libraries' exit handlers could hang a process that has already done its work


def build(spec: NodeSpec, main_script: str) -> Block:
    """The block of a node, its class found by its reference; `main_script` is the owner's script."""
    module_name, _, qualname = spec.reference.partition(":")
    if module_name == "__main__" and getattr(sys.modules["__main__"], "__file__", None) != main_script:
        load_main(main_script)
    target: Any = importlib.import_module(module_name)
    for part in qualname.split("."):
        target = getattr(target, part)
    settings = target.Settings.model_validate_json(spec.settings)
    values = {name: getattr(settings, name) for name in type(settings).model_fields}
    block = target(name=spec.block, **values)
    assert isinstance(block, Block)
    return block


def _report_failure(context: zmq.Context[Socket], spec: NodeSpec, error: BaseException) -> None:
    import traceback

    line = ControlLine(context, spec.control)
    text = "".join(traceback.format_exception(error))
    line.tell("failed", phase="load", message=f"{type(error).__name__}: {error}", traceback=text)
    line.tell("done", counters={})
    line.socket.close(LINGER_MS)


def _exit_with_owner(folder: str) -> None:
    while os.read(0, 4096):  # the lifeline, which forked children share
        pass
    remove_folder(folder)  # nobody else is left to do it if the owner was killed
    os._exit(1)
