"""Flowgraph: a graph that can be run, saved and loaded. The user's way in."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from semstream.runtime.durable.state import StateFolder
from semstream.runtime.engines.choice import make_engine
from semstream.runtime.engines.cluster.options import RayCluster
from semstream.runtime.engines.main_script import refuse_in_child
from semstream.runtime.graph.graph import Graph
from semstream.runtime.graph.hosts import part
from semstream.runtime.graph.plan import Plan
from semstream.runtime.records import Records
from semstream.runtime.run import OnRecord, Run
from semstream.runtime.signals import StopSignals


class Flowgraph(Graph):
    """Blocks, the edges that frames take between them, and their runs.

    Parameters
    ----------
    name
        Name of the graph, in logs and reports.
    seed
        Seed of every random number in it; blocks see it as ``self.seed``.
    engine
        Engine of its runs unless they ask for another.
    policy, credit
        Of its edges unless `connect` or `listen` is told otherwise.
    durable, restart, ring, restart_limit, state_folder
        What is done about blocks, and programs, that die; see `Graph` and `semstream.runtime.durable`.

    Examples
    --------
    >>> fg = Flowgraph("demo", seed=1)
    >>> fg.connect(Counter(count=10), Collector())   # doctest: +SKIP
    """

    def start(self, engine: str | RayCluster | None = None, on_record: OnRecord | None = None) -> Run:
        """Start and return at once; `Run.wait` waits for the end.

        Where the state folder holds a run of this graph, that run goes on. `on_record` is called for its new records.

        Raises
        ------
        FlowgraphError
            If the graph is not complete, the engine is unknown or cannot do what the graph asks for, or the state
            folder cannot be used. What fails later is raised by `Run.wait`.
        """
        refuse_in_child()
        engine = engine or self.engine
        self.validate("ray" if isinstance(engine, RayCluster) else engine)
        records = {name: Records(name) for name in self.blocks}
        if not self.state_folder:
            plan = Plan(self)
            return Run(plan, make_engine(engine, plan), records, on_record)
        state = StateFolder(self.state_folder, self, records)
        try:
            plan = Plan(self, state.standing)
            return Run(plan, make_engine(engine, plan), records, on_record, state)
        except BaseException:
            state.close()
            raise

    def run(
        self,
        engine: str | RayCluster | None = None,
        on_record: OnRecord | None = None,
        timeout: float | None = None,
    ) -> Run:
        """Start, wait for the end and return the finished run.

        Ctrl-C and SIGTERM stop the run within two seconds; then ``run.interrupted`` is True and ``run.exit_code`` is
        130 or 143, and what had arrived is in the run.

        Raises
        ------
        FlowgraphError
            If a block fails, its process dies, a peer falls silent, or the run takes more than `timeout` seconds;
            names the block, carries its traceback and, as ``.run``, the run.
        """
        with StopSignals() as signals:
            run = self.start(engine, on_record)
            signals.attach(run)
            run.wait(timeout)
        return run

    def only(self, host: str) -> Self:
        """The part of this graph that one of its hosts runs; start it as any other flowgraph.

        Every host is given the same graph and runs its own part. CURVE keys come from the folder `keys` of the graph,
        where ``semstream keygen`` has put them.

        Raises
        ------
        FlowgraphError
            If there is no such host, a block lives on none, addresses clash, or a key is missing or can be read by
            others.
        """
        from semstream.runtime.files.keyfile import keys_between

        keys = keys_between(Path(self.keys), host) if self.keys else None
        return part(self, host, keys)

    def save(self, path: str | Path) -> None:
        """Write the graph as YAML: what `load` and ``semstream run`` make the same graph of.

        Settings that were not given are left out. CURVE keys go into files beside it that only their owner can read.

        Raises
        ------
        FlowgraphError
            If a block's class cannot be found from a file.
        OSError
            If the file cannot be written.
        """
        from semstream.runtime.files import file

        file.save(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a graph that `save`, or a person, wrote as YAML.

        Raises
        ------
        FlowgraphFileError
            If the file cannot be read or anything in it is wrong; one line a finding, ``file:line: message``.
        """
        from semstream.runtime.files import file

        return file.load(Path(path), cls)
