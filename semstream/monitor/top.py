"""The terminal view of a run: quality, blocks, edges and events of a snapshot, in rich."""

from __future__ import annotations

import math
import time
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from semstream.monitor.client import MonitorClient

BARS = "▁▂▃▄▅▆▇█"
SPAN = 40
SILENT_S = 1.0


def render(snapshot: dict[str, Any], events: int = 5) -> RenderableType:
    """A snapshot as one screen."""
    parts: list[RenderableType] = [_heading(snapshot)]
    if snapshot["quality"]:
        parts += [_quality(snapshot), _history(snapshot)]
    parts.append(_blocks(snapshot))
    drops = [
        f"{edge['name']}: {n} dropped ({reason})" for edge in snapshot["edges"] for reason, n in edge["drops"].items()
    ]
    parts += [Text(line, style="yellow") for line in drops]
    for event in snapshot["events"][-events:] if events else ():
        at = time.strftime("%H:%M:%S", time.localtime(event["at"]))
        style = {"warning": "yellow", "error": "red", "critical": "red"}.get(event["level"], "dim")
        parts.append(Text(f"{at} {event['text']}", style=style))
    return Group(*parts)


def _heading(snapshot: dict[str, Any]) -> Text:
    state = snapshot["state"]
    style = {"running": "green", "paused": "yellow", "failed": "red"}.get(state, "cyan")
    text = Text(f"{snapshot['name']}  ", style="bold")
    text.append(state, style=style)
    text.append(f"  {snapshot['duration']:.1f} s, engine {snapshot['engine']}, seed {snapshot['seed']}")
    if snapshot["failure"]:
        text.append(f"\n{snapshot['failure'].splitlines()[0]}", style="red")
    return text


def _quality(snapshot: dict[str, Any]) -> Table:
    rows = snapshot["quality"]
    branches = list(dict.fromkeys(row["branch"] for row in rows))
    newest = {record.get("branch"): record.get("snr_db") for record in snapshot["last"]}
    table = Table(box=None, pad_edge=False, title="PSNR dB (MS-SSIM) at each SNR", title_justify="left")
    table.add_column("SNR dB", justify="right")
    for branch in branches:
        table.add_column(branch, justify="right")
    for snr in sorted({row["snr_db"] for row in rows}):
        cells = [Text("inf" if math.isinf(snr) else f"{snr:g}")]
        for branch in branches:
            row = next((r for r in rows if r["branch"] == branch and r["snr_db"] == snr), None)
            current = newest.get(branch) == snr and snapshot["state"] == "running"
            cells.append(Text(_cell(row), style="bold green" if current else ""))
        table.add_row(*cells)
    return table


def _cell(row: dict[str, Any] | None) -> str:
    if row is None or row["psnr_db"] is None:
        return "-"
    mean, low, _ = row["psnr_db"]
    similarity = f" ({row['ms_ssim'][0]:.3f})" if row["ms_ssim"] else ""
    return f"{mean:.2f} ±{mean - low:.2f}{similarity}"


def _history(snapshot: dict[str, Any]) -> RenderableType:
    series: dict[str, list[float]] = {}
    for record in snapshot["last"]:
        value = record.get("psnr_db")
        if isinstance(value, (int, float)) and math.isfinite(value):
            series.setdefault(str(record.get("branch", record["block"])), []).append(float(value))
    if not series:
        return Text("")
    low, high = min(map(min, series.values())), max(map(max, series.values()))
    width = max(map(len, series))
    return Group(
        *(
            Text(f"{name.ljust(width)}  {sparkline(values[-SPAN:], low, high)}  {values[-1]:.2f} dB")
            for name, values in series.items()
        )
    )


def sparkline(values: list[float], low: float, high: float) -> str:
    """Values as bars between two bounds."""
    span = (high - low) or 1.0
    return "".join(BARS[min(7, max(0, int((v - low) / span * 8)))] for v in values)


def _blocks(snapshot: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("block", no_wrap=True)
    for heading in ("in", "out", "frames/s", "queue", "work ms", "p99", "wait ms", "age p99 ms", "lost"):
        table.add_column(heading, justify="right")
    for name, block in snapshot["blocks"].items():
        c = block["counters"]
        lost = sum(c["skips"].values()) + sum(c["bad"].values()) + sum(c["drops"].values())
        table.add_row(
            name,
            str(sum(c["frames_in"].values())),
            str(sum(c["frames_out"].values())),
            f"{block['rate']:.1f}",
            str(sum(c["queue"].values())),
            *(_ms(c[what], p) for what, p in (("work", "p50"), ("work", "p99"), ("wait", "p50"), ("age", "p99"))),
            Text(str(lost), style="yellow" if lost else ""),
        )
    return table


def _ms(summary: dict[str, float], percentile: str) -> str:
    return f"{summary[percentile]:.2f}" if summary["count"] else "-"


def watch(client: MonitorClient, console: Console, once: bool = False, per_second: float = 4.0) -> int:
    """Show a run until Ctrl-C; waits for it, and for the next one, where nobody answers.

    Parameters
    ----------
    once
        Show one snapshot and return: for scripts, and where the output is no terminal.

    Returns
    -------
    0, or 1 if `once` found nobody.
    """
    if once or not console.is_terminal:
        snapshot = client.snapshot(3.0)
        if snapshot is None:
            return 1
        console.print(render(snapshot))
        return 0
    waiting = Text(f"waiting for a flowgraph at {client.endpoint} (started with --monitor) …", style="dim")
    with Live(waiting, console=console, auto_refresh=False, screen=False) as live:
        last: RenderableType = waiting
        while True:
            snapshot = client.snapshot(SILENT_S)
            if snapshot is not None:
                last = render(snapshot)
                live.update(last, refresh=True)
            else:
                live.update(Group(last, waiting) if last is not waiting else waiting, refresh=True)
            time.sleep(1 / per_second)
