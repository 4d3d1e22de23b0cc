"""Plots of quality on the live page: against SNR, over time, and the histogram of latency."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from semstream.monitor.page import style
from semstream.monitor.page.expected import expected_curve, read_expected

METRICS = {"psnr_db": "PSNR (dB)", "ms_ssim": "MS-SSIM", "lpips": "LPIPS (lower is better)"}


class QualityPlot:
    """One metric against SNR: a line and a band a branch, the current point, the expected curve behind."""

    def __init__(self, metric: str) -> None:
        self.metric = metric
        self.plot = style.figure("", x_axis_label="SNR, Es/N0 (dB)", y_axis_label=METRICS[metric], height=300)
        self._parts: dict[str, dict[str, Any]] = {}

    def clear(self) -> None:
        """Forget the branches: another run has begun."""
        self.plot.renderers = []
        if self.plot.legend:
            self.plot.legend[0].items = []
        self._parts = {}

    def update(self, snapshot: dict[str, Any], expected: list[dict[str, str]]) -> None:
        """Show a snapshot."""
        rows = [row for row in snapshot["quality"] if row[self.metric]]
        newest = {record.get("branch"): record for record in snapshot["last"]}
        finite = [row["snr_db"] for row in rows if math.isfinite(row["snr_db"])]
        beyond = (max(finite) if finite else 0.0) + 3.0  # where error-free transmission stands
        for branch in dict.fromkeys(row["branch"] for row in rows):
            parts = self._branch(branch)
            own = sorted((row for row in rows if row["branch"] == branch), key=lambda row: row["snr_db"])
            x = [row["snr_db"] if math.isfinite(row["snr_db"]) else beyond for row in own]
            mean, low, high = ([row[self.metric][i] for row in own] for i in range(3))
            parts["line"].data = {"x": x, "y": mean, "low": low, "high": high}
            record = newest.get(branch, {})
            now = [
                (a, row[self.metric][0]) for a, row in zip(x, own, strict=True) if row["snr_db"] == record.get("snr_db")
            ]
            parts["now"].data = {"x": [p[0] for p in now], "y": [p[1] for p in now]}
            curve = expected_curve(
                expected, branch, str(record.get("channel")), record.get("bits_per_feature"), self.metric
            )
            parts["expected"].data = {"x": [p[0] for p in curve], "y": [p[1] for p in curve]}

    def _branch(self, branch: str) -> dict[str, Any]:
        if branch in self._parts:
            return self._parts[branch]
        from bokeh.models.sources import ColumnDataSource

        colour = style.BRANCHES[len(self._parts) % len(style.BRANCHES)]
        parts = {
            "line": ColumnDataSource({"x": [], "y": [], "low": [], "high": []}),
            "now": ColumnDataSource({"x": [], "y": []}),
            "expected": ColumnDataSource({"x": [], "y": []}),
        }
        plot = self.plot
        plot.line("x", "y", source=parts["expected"], color=colour, line_dash="dashed", alpha=0.45)
        plot.varea("x", "low", "high", source=parts["line"], color=colour, alpha=0.18)
        plot.line("x", "y", source=parts["line"], color=colour, line_width=2, legend_label=branch)
        plot.scatter("x", "y", source=parts["line"], color=colour, size=6, legend_label=branch)
        plot.scatter("x", "y", source=parts["now"], color=None, line_color=style.TEXT, size=14, line_width=2)
        plot.legend.location = "bottom_right" if self.metric != "lpips" else "top_right"
        style.dress_legend(plot)
        self._parts[branch] = parts
        return parts


class TimePlot:
    """PSNR of the newest frames of each branch."""

    def __init__(self) -> None:
        self.plot = style.figure("PSNR over time", x_axis_label="frame", y_axis_label="PSNR (dB)")
        self._sources: dict[str, Any] = {}

    def clear(self) -> None:
        """Forget the branches."""
        self.plot.renderers = []
        self._sources = {}

    def update(self, snapshot: dict[str, Any]) -> None:
        """Show a snapshot."""
        from bokeh.models.sources import ColumnDataSource

        series: dict[str, list[tuple[int, float]]] = {}
        for row in snapshot["quality"]:
            series.setdefault(row["branch"], [])
        for record in snapshot["last"]:
            if isinstance(record.get("psnr_db"), float) and math.isfinite(record["psnr_db"]):
                series.setdefault(str(record.get("branch")), []).append((record["seq"], record["psnr_db"]))
        for branch, points in series.items():
            if branch not in self._sources:
                colour = style.BRANCHES[len(self._sources) % len(style.BRANCHES)]
                self._sources[branch] = ColumnDataSource({"x": [], "y": []})
                self.plot.line("x", "y", source=self._sources[branch], color=colour, line_width=1.5)
            self._sources[branch].data = {"x": [p[0] for p in points], "y": [p[1] for p in points]}


class LatencyPlot:
    """Histogram of the end-to-end latency of the newest frames."""

    BINS = 40

    def __init__(self) -> None:
        from bokeh.models.sources import ColumnDataSource

        self.plot = style.figure("Latency, source to sink", x_axis_label="ms", y_axis_label="frames")
        self._source = ColumnDataSource({"left": [], "right": [], "top": []})
        self.plot.quad(
            left="left", right="right", bottom=0, top="top", source=self._source, color=style.BRANCHES[0], alpha=0.8,
            line_color=style.PANEL,
        )  # fmt: skip

    def update(self, snapshot: dict[str, Any]) -> None:
        """Show a snapshot."""
        values = np.asarray(snapshot["latency_ms"], dtype=float)
        if not values.size:
            self._source.data = {"left": [], "right": [], "top": []}
            return
        counts, edges = np.histogram(values, bins=self.BINS)
        self._source.data = {"left": edges[:-1], "right": edges[1:], "top": counts}
        p50, p99 = np.percentile(values, (50, 99))
        self.plot.title.text = f"Latency, source to sink: p50 {p50:.0f} ms, p99 {p99:.0f} ms"


class Expected:
    """Rows of the evaluation of the weights that the run uses, read once a run."""

    def __init__(self) -> None:
        self._of: tuple[str, list[dict[str, str]]] = ("", [])

    def rows(self, snapshot: dict[str, Any]) -> list[dict[str, str]]:
        """Rows for the run of this snapshot."""
        if self._of[0] != snapshot["run_id"]:
            weights = next(
                (
                    str(setting["value"])
                    for block in snapshot["blocks"].values()
                    for setting in block["settings"]
                    if setting["name"] == "weights" and block["class"] == "SwinDecoder"
                ),
                None,
            )
            self._of = snapshot["run_id"], [] if weights is None else read_expected(weights)
        return self._of[1]
