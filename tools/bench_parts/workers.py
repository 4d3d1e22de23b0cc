"""Run measurements in fresh processes: each starts with a clean interpreter, and a hang costs one part, not the bench.

A worker is a function ``tools.bench_parts.<module>:<name>`` that takes JSON values and returns JSON values.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


class WorkerError(RuntimeError):
    """A worker that failed or did not end; the message is the last line that it wrote."""


class Worker:
    """A running worker.

    Parameters
    ----------
    function
        ``module:name`` within `tools.bench_parts`.
    **arguments
        JSON values.
    """

    def __init__(self, function: str, **arguments: Any) -> None:
        self.function = function
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the worker
        held, self._lifeline = os.pipe()  # closes when the bench ends, however it ends; then the worker ends too
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, function, json.dumps(arguments)],
            stdout=subprocess.PIPE,
            stderr=self._log,
            stdin=held,
            cwd=ROOT,  # not the caller's: a folder with a profile.py would shadow the standard module
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
            text=True,
            start_new_session=True,
        )
        os.close(held)

    def result(self, timeout_s: float) -> Any:
        """What the worker returns.

        Raises
        ------
        WorkerError
            If it fails or takes longer than `timeout_s`.
        """
        try:
            out, _ = self._process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise WorkerError(f"{self.function} did not end within {timeout_s:g} s") from None
        finally:
            self._log.seek(0)
            said = self._log.read().strip().splitlines()
            self._log.close()
        self._release()
        if self._process.returncode:
            reason = said[-1] if said else f"exit status {self._process.returncode}"
            raise WorkerError(f"{self.function}: {reason}")
        return json.loads(out.splitlines()[-1])

    def kill(self) -> None:
        """End the worker and what it has started."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._release()

    def _release(self) -> None:
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1


def call(function: str, timeout_s: float = 120.0, **arguments: Any) -> Any:
    """Run one worker and return its result."""
    worker = Worker(function, **arguments)
    try:
        return worker.result(timeout_s)
    except BaseException:
        worker.kill()
        raise


def call_pair(sender: str, receiver: str, timeout_s: float = 120.0, **arguments: Any) -> Any:
    """Run two workers with the same arguments and return the receiver's result."""
    workers: list[Worker] = []
    try:
        workers += [Worker(sender, **arguments)]
        workers += [Worker(receiver, **arguments)]
        received = workers[1].result(timeout_s)
        workers[0].result(timeout_s)
    except BaseException:
        for worker in workers:
            worker.kill()
        raise
    return received


def free_port() -> int:
    """A tcp port on the loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> None:
    """Run the worker that the command line names; its result is the last line of the output."""
    threading.Thread(target=_end_with_the_bench, daemon=True).start()
    module, _, name = sys.argv[1].partition(":")
    target = getattr(importlib.import_module(f"tools.bench_parts.{module}"), name)
    print(json.dumps(target(**json.loads(sys.argv[2]))), flush=True)


def _end_with_the_bench() -> None:
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
