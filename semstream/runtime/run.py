"""Run: a flowgraph that runs or has run. Records, counters, live settings, stop, failure."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from semstream.runtime import report
from semstream.runtime.block.settings import changed
from semstream.runtime.durable.state import StateFolder
from semstream.runtime.engines.conductor import Conductor
from semstream.runtime.engines.engine import Engine, RenewingEngine
from semstream.runtime.engines.guarded_conductor import GuardedConductor
from semstream.runtime.engines.journaled_conductor import JournaledConductor
from semstream.runtime.errors import FlowgraphError, SettingsError
from semstream.runtime.frames import wire
from semstream.runtime.graph.graph import Graph
from semstream.runtime.graph.plan import Plan
from semstream.runtime.records import Records

OnRecord = Callable[[str, dict[str, Any]], None]
STOP_S = 2.0


class Run:
    """A run of a flowgraph, made by `Flowgraph.start` or `Flowgraph.run`.

    Attributes
    ----------
    records : dict of str to Records
        What each block has published, in order: reads as lists of dicts, however long the run
        (`semstream.runtime.records`).
    failure : FlowgraphError or None
        Why the run has failed.
    interrupted : bool
        Whether Ctrl-C or SIGTERM has ended it.
    held : bool
        Whether the sources are paused (`hold`).
    earlier : dict of str to int
        By block, how many records were there when this program took the run up, out of its state folder; `on_record`
        is not called for them.
    """

    def __init__(
        self,
        plan: Plan,
        engine: Engine,
        records: dict[str, Records],
        on_record: OnRecord | None = None,
        state: StateFolder | None = None,
    ) -> None:
        self.graph = plan.graph
        self.engine = engine.name
        self.records = records
        self.earlier = {name: kept.published for name, kept in records.items()}
        self.interrupted = False
        self.held = False
        self.signal = 0
        self.started_at = time.time()
        self._settings = {name: block.settings for name, block in plan.graph.blocks.items()}
        self._set_lock = threading.Lock()
        self._state = state
        if state is not None:
            for name, values in state.journal.account.live.items():
                if name in self._settings:
                    self._settings[name] = changed(self._settings[name], values, name)
            self._conductor: Conductor = JournaledConductor(plan, engine, self.records, on_record, state=state)
        else:
            renews = plan.graph.guarded and isinstance(engine, RenewingEngine)
            conductor = GuardedConductor if renews else Conductor
            self._conductor = conductor(plan, engine, self.records, on_record)
        self._conductor.start()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def finished(self) -> bool:
        """Whether the run is over."""
        return self._conductor.finished.is_set()

    @property
    def ended(self) -> bool:
        """Whether its stream has come to its end: it is over, and was not stopped and has not failed."""
        return self.finished and self.failure is None and not self._conductor.stopped

    @property
    def failure(self) -> FlowgraphError | None:
        """Why the run has failed, or None."""
        failure = self._conductor.failure
        if failure is not None:
            failure.run = self
        return failure

    @property
    def exit_code(self) -> int:
        """Exit status that a command should give: 0, 1 after a failure, 128 + signal after Ctrl-C or SIGTERM."""
        if self.failure is not None:
            return 1
        return 128 + self.signal if self.interrupted else 0

    @property
    def duration(self) -> float:
        """Seconds from the moment that all blocks were ready to the end (or to now)."""
        return self._conductor.duration

    def wait(self, timeout: float | None = None) -> Run:
        """Wait for the end. Ctrl-C stops the run, and this returns with `interrupted` True.

        Raises
        ------
        FlowgraphError
            If the run has failed, or has not ended after `timeout` seconds (then it is stopped first).
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            while not self._conductor.finished.wait(0.2 if deadline is None else max(0.0, min(0.2, _left(deadline)))):
                if deadline is not None and _left(deadline) <= 0:
                    self._conductor.fail(f"flowgraph {self.graph.name!r} has not ended after {timeout:g} s; stopped")
                    deadline = None
        except KeyboardInterrupt:
            self.interrupt(signal.SIGINT)
            self._conductor.finished.wait(2 * STOP_S)
        if self.failure is not None:
            raise self.failure
        return self

    def stop(self, wait: bool = True) -> Run:
        """End the run: sources stop, what is under way still arrives, and after two seconds nothing is left."""
        self._conductor.request_stop()
        if wait and threading.current_thread() not in self._conductor.own_threads:
            self._conductor.finished.wait(2 * STOP_S)
        return self

    def interrupt(self, number: int = signal.SIGINT) -> None:
        """Stop as a signal does, without waiting."""
        self.interrupted = True
        self.signal = int(number)
        self._conductor.request_stop()

    def set(self, block: str, timeout: float = 10.0, **settings: Any) -> None:
        """Change live settings of a block between two of its frames; returns when they are in force.

        Raises
        ------
        SettingsError
            If the block is unknown or has ended, a setting is unknown, not live or out of range (the message says
            what is allowed), or the block has not come to the end of a frame within `timeout` seconds.
        """
        if block not in self._settings:
            raise SettingsError(f"no block {block!r}; there are: {', '.join(self._settings)}")
        with self._set_lock:
            new = changed(self._settings[block], settings, block)
            values = {name: getattr(new, name) for name in settings}
            try:
                wire.pack(values)
            except (TypeError, ValueError, OverflowError):  # e.g. a path or an enumeration: as JSON has it
                values = new.model_dump(mode="json", include=set(settings))
            error = self._conductor.set(block, values, timeout)
            if error:
                raise SettingsError(error)
            self._settings[block] = new

    def goes_on_as(self, graph: Graph) -> bool:
        """Whether a start of that graph, with the same state folder, would take this run up."""
        return self._state is not None and self._state.is_for(graph)

    def discard_state(self) -> None:
        """Remove the run from its state folder, so that the next start begins anew; nothing where there is no folder.

        For whoever has what the run was for: until then a run that has ended is not done again, and its records are
        there at once when it is started.

        Raises
        ------
        FlowgraphError
            If the run has not ended, or another program has the folder.
        """
        if self._state is None:
            return
        if not self.finished:
            raise FlowgraphError(f"flowgraph {self.graph.name!r} still runs; stop it, or wait for its end")
        self._state.discard()

    def hold(self, value: bool = True) -> None:
        """Pause: sources wait before their next frame, and what is under way arrives; ``hold(False)`` goes on."""
        self._conductor.hold(value)
        self.held = value

    def shown(self) -> dict[str, dict[str, dict[str, Any]]]:
        """What blocks show (`Block.show`): the newest value of each name, by block."""
        by_block: dict[str, dict[str, dict[str, Any]]] = {}
        for (block, name), value in list(self._conductor.shown.items()):
            by_block.setdefault(block, {})[name] = value
        return by_block

    def settings(self, block: str) -> Any:
        """Settings of a block that are in force."""
        return self._settings[block]

    def counters(self) -> dict[str, Any]:
        """Counters now (at most half a second old) or at the end: ``{"blocks": {name: ...}, "edges": {name: ...}}``.

        A block has frames_in and frames_out by port, bytes_in, skips and bad (messages) by reason, drops, queue, and
        work, wait and age with count, mean, p50, p95, p99 and max in ms. An edge has frames, bytes and drops by reason.
        """
        return report.counters(self.graph, self._conductor.states())

    def summary(self) -> str:
        """A text table of the counters."""
        how = (
            "failed"
            if self.failure
            else "interrupted"
            if self.interrupted
            else "finished"
            if self.finished
            else "running"
        )
        title = f"{self.graph.name}: {how}, {self.duration:.2f} s, engine {self.engine}"
        return report.table(title, self.counters())


def _left(deadline: float) -> float:
    return deadline - time.monotonic()
