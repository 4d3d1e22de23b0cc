"""Supervisor: keeps the flowgraph of a file running, until it is told to stop or has failed too often."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

from semstream.monitor.service import MonitorService
from semstream.monitor.snapshot import Watch
from semstream.monitor.watched import DEFAULT_ENDPOINT
from semstream.runtime import Flowgraph, FlowgraphError, FlowgraphFileError, Run, SemstreamError
from semstream.runtime.durable.journal import StateError
from semstream.runtime.errors import Finding
from semstream.runtime.files.overrides import override
from semstream.runtime.files.reading import read
from semstream.serving.logs import SERVICE
from semstream.serving.notify import Notifier
from semstream.serving.restarts import RestartPolicy, Restarts
from semstream.serving.state import ServiceState

LOG = logging.getLogger(SERVICE)
LOOK_S = 0.05
DRAIN_S = 8.0
"""A run that has not ended so long after it was told to is left to the end of the process."""
TRIM_S = 1.0


class FlowgraphFile:
    """A flowgraph file as it was when it was last found right: an edit counts once it is reloaded.

    Parameters
    ----------
    path
        YAML.
    overrides
        ``block.setting=value``, applied to every graph that is made of it.
    seed
        Instead of the file's.
    state
        State folder instead of the file's.

    Raises
    ------
    FlowgraphFileError, SettingsError
        All that is wrong with it.
    """

    def __init__(
        self, path: Path, overrides: Sequence[str] = (), seed: int | None = None, state: Path | None = None
    ) -> None:
        self.path = path
        self._overrides = list(overrides)
        self._seed = seed
        self._state = state
        self._data = b""
        self.reload()

    def reload(self) -> None:
        """Read the file again; if anything is wrong with it, what it was before stays.

        Raises
        ------
        FlowgraphFileError, SettingsError
        """
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise FlowgraphFileError(
                str(self.path), [Finding(0, f"cannot be read: {error.strerror or error}")]
            ) from None
        self._made(data)
        self._data = data

    def graph(self) -> Flowgraph:
        """A new graph, for a run."""
        return self._made(self._data)

    def _made(self, data: bytes) -> Flowgraph:
        graph, findings = read(data, self.path.parent, Flowgraph)
        if findings:
            raise FlowgraphFileError(str(self.path), findings)
        override(graph, self._overrides)
        if self._seed is not None:
            graph.seed = self._seed
        if self._state is not None:
            graph.state_folder = str(self._state)
        graph.validate()
        return graph


class Supervisor:
    """Runs a flowgraph again and again; everything happens in the thread that calls `serve`.

    Parameters
    ----------
    file
        What to run.
    state
        Is told how it stands.
    policy
        When a run is started again.
    engine
        Instead of the file's.
    notifier
        Tells the service manager.
    monitor
        Whether ``semstream top`` and ``semstream monitor`` may watch, at the usual endpoint of loopback.
    """

    def __init__(
        self,
        file: FlowgraphFile,
        state: ServiceState,
        policy: RestartPolicy,
        engine: str | None = None,
        notifier: Notifier | None = None,
        monitor: bool = False,
    ) -> None:
        self._file = file
        self._state = state
        self._restarts = Restarts(policy)
        self._engine = engine
        self._notifier = notifier or Notifier()
        self._monitor = monitor
        self._stop = self._reload = False
        self._trimmed_at = 0.0

    def serve(self) -> int:
        """Run until SIGTERM or SIGINT (0), the end of the stream (0), or a failure that ends it all (1)."""
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._on_signal)
        try:
            while True:
                try:
                    wait = self._one_run()
                except StateError as error:  # that another start would meet as well
                    LOG.error("%s", error)
                    self._state.set("failed", str(error))
                    return 1
                except SemstreamError as error:  # what was right when it was read: keys that are gone, a full disk
                    wait = self._after(FlowgraphError(str(error)), 0.0, 0.0)
                if wait is None:
                    return 1 if self._state.phase == "failed" else 0
                self._pause(wait)
                if self._stop:
                    self._state.set("ended", "stopped as asked")
                    return 0
        finally:
            self._notifier.stopping()
            for number, handler in before.items():
                signal.signal(number, handler)

    def stop(self) -> None:
        """End as SIGTERM does. May be called from any thread."""
        self._stop = True

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            self._reload = True
        else:
            self._stop = True

    def _one_run(self) -> float | None:
        """Start the flowgraph and see it to its end; seconds until the next start, None if there is none."""
        graph = self._file.graph()
        self._state.set("starting", f"flowgraph {graph.name!r}: its blocks are starting")
        LOG.info("flowgraph %r starts, engine %s", graph.name, self._engine or graph.engine)
        again = False
        ready_at = 0.0
        with ExitStack() as watching:
            run = graph.start(self._engine)
            watching.callback(run.stop)
            if earlier := sum(run.earlier.values()):
                LOG.info("flowgraph %r goes on where it was: %d records were there", graph.name, earlier)
            self._state.watch(self._watch(run, watching))
            while not run.finished:
                self._look()
                if not ready_at and run.duration and not run.finished:
                    ready_at = time.monotonic()
                    self._state.set("running")
                    LOG.info("flowgraph %r runs: all of its %d blocks are ready", graph.name, len(graph.blocks))
                    self._notifier.ready(f"flowgraph {graph.name!r} runs")
                if self._stop or (self._reload and self._read_again()):
                    again = not self._stop
                    self._drain(run)
                    break
        if self._stop:
            self._state.set("ended", "stopped as asked")
            LOG.info("flowgraph %r stopped as asked after %.1f s", graph.name, run.duration)
            return None
        if again:
            new = self._file.graph()
            if new.state_folder == graph.state_folder and not run.goes_on_as(new):
                run.discard_state()
            return 0.0
        if run.ended:
            run.discard_state()
        return self._after(run.failure, run.duration, time.monotonic() - ready_at if ready_at else 0.0)

    def _watch(self, run: Run, watching: ExitStack) -> Watch:
        if self._monitor:
            try:
                return watching.enter_context(MonitorService(run, DEFAULT_ENDPOINT)).watch
            except FlowgraphError as error:
                LOG.warning("%s; nobody can watch this run", error)
        return Watch(run)

    def _after(self, failure: FlowgraphError | None, duration: float, ready_s: float) -> float | None:
        """What comes after a run that has ended by itself."""
        what = f"the run has failed: {failure.summary}" if failure else "the stream has come to its end"
        if failure:
            facts: dict[str, Any] = {"failed_block": failure.block or "", "traceback": failure.traceback_text}
            LOG.error("%s", what if failure.traceback_text == "" else failure, extra={"facts": facts})
        else:
            LOG.info("%s after %.1f s", what, duration)
        wait = self._restarts.after(failure is not None, ready_s)
        self._state.restarts = self._restarts.total
        if wait is None:
            many = self._restarts.in_a_row and failure is not None
            why = f"{what}; given up after {self._restarts.in_a_row} restarts in a row" if many else what
            self._state.set("failed" if failure else "ended", why)
            if failure:
                LOG.error("%s", "given up: restart it, or see --restart and --restart-limit")
            return None
        self._state.set("waiting", f"{what}; starts again in {wait:g} s")
        LOG.info("starts again in %g s (restart %d in a row)", wait, self._restarts.in_a_row)
        self._notifier.status(f"starts again in {wait:g} s: {what}"[:200])
        return wait

    def _drain(self, run: Run) -> None:
        """End a run; what is under way still arrives, and within two seconds nothing is left."""
        self._state.set(
            "stopping" if self._stop else "reloading", "it stops" if self._stop else "the new file takes its place"
        )
        run.stop(wait=False)
        until = time.monotonic() + DRAIN_S
        while not run.finished:
            if time.monotonic() > until:
                LOG.error("the run has not ended after %g s; left", DRAIN_S)
                return
            self._look()

    def _read_again(self) -> bool:
        """Reload the file; whether it is to take the place of what runs."""
        self._reload = False
        self._notifier.reloading()
        try:
            self._file.reload()
        except SemstreamError as error:
            self._state.reloads["refused"] += 1
            for line in str(error).splitlines():
                LOG.error("not reloaded, the old one goes on: %s", line)
            self._notifier.ready("not reloaded: the file is wrong, see the log")
            return False
        self._state.reloads["done"] += 1
        LOG.info("%s reloaded", self._file.path)
        return True

    def _pause(self, seconds: float) -> None:
        """Wait for the next start; a new file is tried at once."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._stop:
            self._look()
            if self._reload and self._read_again():
                return

    def _look(self) -> None:
        """Signs of life, and a little rest."""
        now = time.monotonic()
        self._state.alive()
        self._notifier.alive()
        if now - self._trimmed_at > TRIM_S:
            self._trimmed_at = now
            self._state.trim()
        time.sleep(LOOK_S)
