"""A run in a terminal: progress or the whole flowgraph while it lasts, its results afterwards."""

from __future__ import annotations

import importlib
import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.logging import RichHandler

from semstream.monitor.snapshot import Watch
from semstream.monitor.top import render
from semstream.monitor.watched import watched
from semstream.progress import Progress
from semstream.runtime import Flowgraph, FlowgraphError, Run
from semstream.runtime.signals import StopSignals
from semstream.script.options import RunOptions

console = Console(stderr=not sys.stdout.isatty())


def run_with_progress(graph: Flowgraph, total: int, options: RunOptions, watching: ExitStack) -> Run:
    """Run a flowgraph, watched as asked for.

    In a terminal the whole run is shown (`semstream.monitor.top`), elsewhere now and then a line with the latest
    quality of each branch. A failure is shown in one message; what had arrived is in the returned run.

    Parameters
    ----------
    total
        Records that are to come; 0 if that is not known.
    options
        Of these ``engine``, and how the run is watched.
    watching
        Gets what serves viewers; they are served until it closes.

    Raises
    ------
    FlowgraphError
        If the run could not be started.
    typer.BadParameter
        If the options do not fit.
    """
    monitor, control = options.monitor, options.control
    if monitor and monitor != "auto" and not (monitor.isdigit() and 0 < int(monitor) < 65536):
        raise typer.BadParameter(f"--monitor: expected a port or auto, got {monitor!r}")
    for given, option in ((control, "control"), (options.hold, "hold"), (options.monitor_keys, "monitor-keys")):
        if given and not monitor:
            raise typer.BadParameter(f"--{option} needs --monitor, whose page it is about")
    keys = None
    if options.monitor_keys is not None:
        from semstream.runtime.files.keyfile import read_keys

        keys = read_keys(options.monitor_keys)
    if monitor:
        from blocks.probe import add_probes

        add_probes(graph)
    logging.basicConfig(
        level=logging.WARNING, format="%(message)s", handlers=[RichHandler(console=console, show_path=False)]
    )
    latest: dict[str, str] = {}
    with ExitStack() as shown:
        progress = shown.enter_context(Progress("records", total or None, console=console, embedded=True))

        def on_record(block: str, record: dict[str, Any]) -> None:
            if not is_quality(record):
                return
            latest[record["branch"]] = f"{record['branch']} {record['psnr_db']:.1f} dB"
            at = f"SNR {record['snr_db']:g} dB: " if isinstance(record["snr_db"], float) else ""
            progress.advance(1, at + ", ".join(latest.values()))

        try:
            with StopSignals() as signals:
                run = graph.start(options.engine, on_record)
                signals.attach(run)
                if earlier := sum(run.earlier.values()):
                    console.print(f"goes on: {earlier} records were there", highlight=False)
                    kept = (islice(run.records[name].since(0), count) for name, count in run.earlier.items())
                    progress.advance(sum(is_quality(record) for records in kept for _, record in records))
                page = watching.enter_context(watched(run, monitor, control, options.prometheus, console, keys))
                if console.is_terminal:
                    watch = Watch(run)
                    shown.enter_context(
                        Live(
                            get_renderable=lambda: Group(render(watch.snapshot()), progress.renderable),
                            console=console,
                            refresh_per_second=4,
                        )
                    )
                if options.out is not None:
                    threading.Thread(target=load_figures, args=(run,), daemon=True).start()
                try:
                    return run.wait()
                finally:
                    if page is not None and (run.interrupted or not options.hold):
                        page.leave()
        except FlowgraphError as error:
            if not isinstance(error.run, Run):
                raise
            console.print(f"[red]failed:[/] {error}", highlight=False, soft_wrap=True)
            return error.run


def load_figures(run: Run) -> None:
    """Import what draws figures while a run that was interrupted comes to its end, so that its command ends sooner."""
    while not (run.finished or run.interrupted):
        time.sleep(0.1)
    importlib.import_module("matplotlib.pyplot")


def is_quality(record: Mapping[str, Any]) -> bool:
    """Whether a record is one of `blocks.MetricSink`."""
    return {"branch", "seq", "psnr_db", "snr_db", "height", "width"} <= set(record)


def finish(
    run: Run, records: Collection[Mapping[str, Any]], out: Path | None, title: str, lines: Sequence[str]
) -> None:
    """Print the table of a run's qualities, leave records and figures in `out`."""
    from semstream.metrics.results import results

    if not records and run.failure is not None:
        return
    text = results(records, title, lines, out) if records else ""
    print(text or "\n".join([run.summary(), *lines]))
    counters = run.counters()
    drops: Counter[str] = Counter()
    for edge in counters["edges"].values():
        drops.update(edge["drops"])
    alone = drops.pop("unmatched", 0)  # joined to a frame that was left out, and so not late itself
    skips = {f"{name}: {reason}": n for name, b in counters["blocks"].items() for reason, n in b["skips"].items()}
    print(
        f"\n{len(records)} records in {run.duration:.1f} s; late frames dropped: {drops.total()}; "
        f"skipped: {skips or 0}" + (f"; left without a partner: {alone}" if alone else "")
    )
    if out is not None and records:
        print(f"see {out}/")
        (out / "counters.txt").write_text(run.summary() + "\n", encoding="utf-8")
    if run.interrupted:
        print("interrupted: the numbers are of the frames that had arrived")


def hold() -> None:
    """Wait for Ctrl-C, while the page shows how the run has ended."""
    console.print("held: the page stays until Ctrl-C", highlight=False)
    never = threading.Event()
    with suppress(KeyboardInterrupt):
        while not never.wait(0.5):  # a signal just before an endless wait would not end it
            pass
