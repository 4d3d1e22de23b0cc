"""One run of a flowgraph from start to exit code, as its command asked for it."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import NoReturn

import typer

from semstream.runtime import Flowgraph, Run
from semstream.script.options import RunOptions

Report = Callable[[Run], Sequence[str]]
"""Lines of the user's own below the table of a run."""


def execute(graph: Flowgraph, options: RunOptions, title: str = "", report: Report | None = None) -> NoReturn:
    """Run a flowgraph, watched as asked for; print the table of its qualities, leave records and figures, and exit.

    Parameters
    ----------
    title
        Above the table and the figures; empty: the graph's name.
    report
        Lines below the table, made of the run.

    Raises
    ------
    SemstreamError, OSError
        If the run could not be started, or its results could not be written.
    typer.Exit
        With the run's exit code, after it has ended or failed.
    """
    from semstream.metrics.results import Ordered, notes
    from semstream.runtime.durable.state import holds_run
    from semstream.runtime.files.overrides import assign, override
    from semstream.runtime.graph.hosts import move
    from semstream.script.showing import finish, hold, is_quality, run_with_progress

    for name, value in (("weights", options.weights), ("lpips", options.lpips)):
        if value is not None:
            assign(graph, "*", name, value)
    override(graph, options.set_ or [])
    graph.protect(options.durable, options.restart)
    if options.state is not None:
        graph.state_folder = str(options.state)
    if options.seed is not None:
        graph.seed = options.seed
    for text in options.address or []:
        move(graph, text)
    if options.keys is not None:
        graph.keys = str(options.keys)
    if options.only is not None:
        graph = graph.only(options.only)
    if options.out is not None:
        if not (graph.state_folder and holds_run(graph.state_folder)):
            shutil.rmtree(options.out / "snapshots", ignore_errors=True)
        for name, block in graph.blocks.items():
            if getattr(block.settings, "snapshots", "given") == "":
                assign(graph, name, "snapshots", str(options.out / "snapshots"))
    sinks = [block for block in graph.blocks.values() if "lpips" in type(block).Settings.model_fields]
    sources = [block.settings for block in graph.blocks.values() if block.is_source]
    total = sum(getattr(s, "frames", 0) for s in sources) if len(sources) == 1 else 0
    with ExitStack() as watching:
        run = run_with_progress(graph, total * len(sinks), options, watching)
        records = Ordered((run.records[block] for block in graph.blocks), is_quality)
        networks = {(s.settings.lpips, getattr(s.settings, "lpips_weights", "")) for s in sinks}
        lines = sorted({line for network in networks for line in notes(records, *network)}) if len(records) else []
        if report is not None and any(run.records.values()):
            lines += report(run)
        finish(run, records, options.out, title or graph.name, lines)
        if run.ended:
            run.discard_state()
        elif graph.state_folder:
            print(f"where it stands is kept in {graph.state_folder}/: the same command goes on")
        if options.hold and not run.interrupted:
            hold()
    if run.interrupted:
        leave(run.exit_code)
    raise typer.Exit(run.exit_code)


def leave(code: int) -> NoReturn:
    """End the program at once: whoever has pressed Ctrl-C need not wait until PyTorch is taken down, a second or more.

    What was registered to be done at the end is done, and what was printed is written.
    """
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
