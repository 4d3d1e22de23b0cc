"""What the flowgraphs share around a run: progress while it lasts, then the table, the records and the figures."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image
from rich.console import Console, Group
from rich.live import Live
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from blocks import ImageSource
from blocks.probe import add_probes
from semstream.metrics import figures, perceptual, quality, report
from semstream.monitor.options import watched
from semstream.monitor.snapshot import Watch
from semstream.monitor.top import render
from semstream.runtime import Flowgraph, FlowgraphError, Run, SemstreamError
from semstream.runtime.signals import StopSignals

EXPECTED = (SemstreamError, ValueError, OSError)
"""Errors that a user can cause; anything else is a fault of ours and shows its traceback."""

console = Console(stderr=not sys.stdout.isatty())


def numbers(text: str) -> list[float]:
    """Numbers of an option such as ``1,4,inf``."""
    try:
        values = [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        values = []
    if not values or any(np.isnan(values)):
        raise typer.BadParameter(f"expected numbers such as 1,4,7 or inf, got {text!r}")
    return values


def swept_source(source: str, size: int, frames: int, hold: int, fps: float = 0.0) -> ImageSource:
    """Pictures for a sweep that holds each SNR for `hold` frames.

    Every SNR meets the same pictures, so that their qualities compare; in real time (`fps`) the pictures run on.
    """
    settings: dict[str, Any] = {
        "source": source,
        "size": size or None,
        "frames": frames,
        "fps": fps,
        "loop": bool(source),
    }
    if not fps:
        settings["repeat"] = hold
        settings["every"] = 1 if source else max(1, 120 // hold)  # so that the window shows several photographs
    return ImageSource(**settings)


Monitor = Annotated[str, typer.Option(help="serve the live page on this port of loopback, or on a free one: auto")]
Control = Annotated[bool, typer.Option("--control", help="let the page change settings; prints a token")]
Prometheus = Annotated[int, typer.Option(help="serve all counters on this port of loopback; 0: not", min=0, max=65535)]


def run_with_progress(
    graph: Flowgraph, engine: str, total: int, monitor: str = "", control: bool = False, prometheus: int = 0
) -> Run:
    """Run a flowgraph whose records are qualities, watched as asked for.

    In a terminal the whole run is shown (`semstream.monitor.top`), elsewhere a bar with the latest of each branch. A
    failure is shown in one message and ends the program with exit code 1; what had arrived is in the returned run.

    Parameters
    ----------
    total
        Records that are to come; 0 if that is not known.
    monitor, control, prometheus
        The options of the same names.
    """
    if monitor and monitor != "auto" and not (monitor.isdigit() and 0 < int(monitor) < 65536):
        raise typer.BadParameter(f"--monitor: expected a port or auto, got {monitor!r}")
    if control and not monitor:
        raise typer.BadParameter("--control needs --monitor, whose page it lets change settings")
    if monitor:
        add_probes(graph)
    logging.basicConfig(
        level=logging.WARNING, format="%(message)s", handlers=[RichHandler(console=console, show_path=False)]
    )
    latest: dict[str, str] = {}
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=console)
    with ExitStack() as shown:
        if not console.is_terminal:
            shown.enter_context(progress)
        task = progress.add_task("starting", total=total or None)

        def on_record(block: str, record: dict[str, Any]) -> None:
            latest[record["branch"]] = f"{record['branch']} {record['psnr_db']:.1f} dB"
            words = ", ".join(latest.values())
            progress.update(task, advance=1, description=f"SNR {record['snr_db']:g} dB: {words}")

        try:
            with StopSignals() as signals:
                run = graph.start(engine, on_record)
                signals.attach(run)
                with watched(run, monitor, control, prometheus, console):
                    if console.is_terminal:
                        watch = Watch(run)
                        shown.enter_context(
                            Live(
                                get_renderable=lambda: Group(render(watch.snapshot()), progress.get_renderable()),
                                console=console,
                                refresh_per_second=4,
                            )
                        )
                    return run.wait()
        except FlowgraphError as error:
            if error.run is None:
                raise
            console.print(f"[red]failed:[/] {error}", highlight=False, soft_wrap=True)
            return error.run


def fail(error: Exception) -> None:
    """End the program with one line on what is wrong."""
    console.print(f"[red]error:[/] {error}", highlight=False, soft_wrap=True)
    raise typer.Exit(1 if isinstance(error, SemstreamError) else 2)


def notes(records: Sequence[Mapping[str, Any]], lpips_net: str, lpips_weights: str = "") -> list[str]:
    """Lines below the table: how MS-SSIM was measured, why LPIPS is missing."""
    lines = []
    sizes = {(r["height"], r["width"]) for r in records}
    scales = {str(quality.ms_ssim_scale(*size)) for size in sizes}
    lines += [
        f"{line} (the standard has 5 scales, window 11)" for line in sorted(scales) if "5 scales, window 11" not in line
    ]
    if lpips_net != "off":
        lpips = perceptual.Lpips(lpips_net, weights_file=lpips_weights or None)
        if not lpips.available:
            lines.append(lpips.reason)
    return lines


def finish(run: Run, records: Iterable[dict[str, Any]], out: Path, title: str, lines: Sequence[str]) -> None:
    """Print the table and leave records and figures in `out`, then exit as the run has ended."""
    records = list(records)
    if not records and run.failure is not None:
        raise typer.Exit(run.exit_code)
    rows = sorted(records, key=lambda r: (r["seq"], r["branch"]))
    report.write_csv(rows, out / "records.csv")
    report.write_jsonl(rows, out / "records.jsonl")
    if rows:
        sizes = sorted({(r["width"], r["height"]) for r in rows})
        title += f", {sizes[0][0]}×{sizes[0][1]} pixels" if len(sizes) == 1 else f", {len(sizes)} sizes of pictures"
        summary = report.summarise(rows)
        text = report.text_table(summary, title, lines)
        (out / "table.txt").write_text(text + "\n", encoding="utf-8")
        print(text)
        reason = next((line for line in lines if "LPIPS" in line), "")
        figures.plot_quality_vs_snr(summary, out / "quality_vs_snr.png", title, reason)
        plot_snapshots(out)
    drops = sum(sum(edge["drops"].values()) for edge in run.counters()["edges"].values())
    skips = {f"{name}: {reason}": n for name, b in run.counters()["blocks"].items() for reason, n in b["skips"].items()}
    print(f"\n{len(rows)} records in {run.duration:.1f} s; late frames dropped: {drops}; skipped: {skips or 0}")
    print(f"see {out}/")
    (out / "counters.txt").write_text(run.summary() + "\n", encoding="utf-8")
    if run.interrupted:
        print("interrupted: the numbers are of the frames that had arrived")
    raise typer.Exit(run.exit_code)


def plot_snapshots(out: Path) -> None:
    """frames.png from the snapshots that the metric sinks have left."""
    sent: dict[float, np.ndarray] = {}
    received: dict[str, dict[float, np.ndarray]] = {}
    for path in sorted((out / "snapshots").glob("*_received.png")):
        branch, snr = path.stem.removesuffix("_received").rsplit("_", 1)
        received.setdefault(branch, {})[float(snr)] = np.asarray(Image.open(path))
        sent[float(snr)] = np.asarray(Image.open(path.with_name(path.name.replace("_received", "_sent"))))
    if received:
        figures.plot_frames(sent, received, out / "frames.png")
