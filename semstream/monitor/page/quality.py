"""Plots of quality on the live page: against SNR, over time, and the histogram of latency."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from semstream.monitor.page import style
from semstream.monitor.page.expected import expected_curve

METRICS = {"psnr_db": "PSNR (dB)", "ms_ssim": "MS-SSIM", "lpips": "LPIPS (lower is better)"}


class QualityPlot:
    """One metric against SNR: a line and a band a branch, the current point, the expected curve behind.

    Pointing near a point shows its numbers: mean and interval, frames, bits a feature, channel uses.
    """

    def __init__(self, metric: str) -> None:
        self.metric = metric
        self.plot = style.figure("", x_axis_label="SNR, Es/N0 (dB)", y_axis_label=METRICS[metric], height=380)
        style.add_legend(self.plot, "bottom_right" if metric != "lpips" else "top_right")
        self._parts: dict[str, dict[str, Any]] = {}
        digits = "0.00" if metric == "psnr_db" else "0.0000"
        self._hover = style.hover(
            [
                ("", "@branch, SNR @snr"),
                (METRICS[metric].split(" (")[0], f"@y{{{digits}}} (95 %: @low{{{digits}}} to @high{{{digits}}})"),
                ("frames", "@n"),
                ("bits a feature", "@bits"),
                ("CBR", "@cbr"),
            ]
        )
        self.plot.add_tools(self._hover)

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
            numbers = {
                "branch": [branch] * len(own),
                "snr": [f"{row['snr_db']:g} dB" if math.isfinite(row["snr_db"]) else "error-free" for row in own],
                "n": [row["n"] for row in own],
                "bits": [_words(row["bits_per_feature"], 2) for row in own],
                "cbr": [_words(row["cbr"], 4) for row in own],
            }
            style.put(parts["line"], {"x": x, "y": mean, "low": low, "high": high} | numbers)
            record = newest.get(branch, {})
            now = [
                (a, row[self.metric][0]) for a, row in zip(x, own, strict=True) if row["snr_db"] == record.get("snr_db")
            ]
            style.put(parts["now"], {"x": [p[0] for p in now], "y": [p[1] for p in now]})
            curve = expected_curve(
                expected, branch, str(record.get("channel")), record.get("bits_per_feature"), self.metric
            )
            style.put(parts["expected"], {"x": [p[0] for p in curve], "y": [p[1] for p in curve]})

    def _branch(self, branch: str) -> dict[str, Any]:
        if branch in self._parts:
            return self._parts[branch]
        from bokeh.models.sources import ColumnDataSource

        colour = style.BRANCHES[len(self._parts) % len(style.BRANCHES)]
        columns = ("x", "y", "low", "high", "branch", "snr", "n", "bits", "cbr")
        parts = {
            "line": ColumnDataSource({name: [] for name in columns}),
            "now": ColumnDataSource({"x": [], "y": []}),
            "expected": ColumnDataSource({"x": [], "y": []}),
        }
        plot = self.plot
        plot.line("x", "y", source=parts["expected"], color=colour, line_dash="dashed", alpha=0.45)
        plot.varea("x", "low", "high", source=parts["line"], color=colour, alpha=0.18)
        plot.line("x", "y", source=parts["line"], color=colour, line_width=2, legend_label=branch)
        plot.scatter("x", "y", source=parts["line"], color=colour, size=6, legend_label=branch)
        plot.scatter("x", "y", source=parts["now"], color=None, line_color=style.TEXT, size=14, line_width=2)
        near = plot.scatter("x", "y", source=parts["line"], size=24, alpha=0)  # a point that is easy to point at
        self._hover.renderers = [*self._hover.renderers, near]
        self._parts[branch] = parts
        return parts


def _words(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


class TimePlot:
    """PSNR of the newest frames of each branch."""

    def __init__(self) -> None:
        self.plot = style.figure("PSNR over time", x_axis_label="frame", y_axis_label="PSNR (dB)")
        self._sources: dict[str, Any] = {}
        self._hover = style.hover([("", "@branch, frame @x"), ("PSNR", "@y{0.00} dB"), ("SNR", "@snr dB")])
        self.plot.add_tools(self._hover)

    def update(self, snapshot: dict[str, Any]) -> None:
        """Show a snapshot."""
        from bokeh.models.sources import ColumnDataSource

        series: dict[str, list[dict[str, Any]]] = {}
        for row in snapshot["quality"]:
            series.setdefault(row["branch"], [])
        for record in snapshot["last"]:
            if isinstance(record.get("psnr_db"), float) and math.isfinite(record["psnr_db"]):
                series.setdefault(str(record.get("branch")), []).append(record)
        for branch, records in series.items():
            if branch not in self._sources:
                colour = style.BRANCHES[len(self._sources) % len(style.BRANCHES)]
                source = self._sources[branch] = ColumnDataSource({"x": [], "y": [], "snr": [], "branch": []})
                self.plot.line("x", "y", source=source, color=colour, line_width=1.5)
                near = self.plot.scatter("x", "y", source=source, size=10, alpha=0)
                self._hover.renderers = [*self._hover.renderers, near]
            columns = {"x": [r["seq"] for r in records], "y": [r["psnr_db"] for r in records]}
            said = {"snr": [str(r.get("snr_db")) for r in records], "branch": [branch] * len(records)}
            style.put(self._sources[branch], columns | said)


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
            return
        counts, edges = np.histogram(values, bins=self.BINS)
        style.put(self._source, {"left": edges[:-1], "right": edges[1:], "top": counts})
        p50, p99 = np.percentile(values, (50, 99))
        self.plot.title.text = f"Latency, source to sink: p50 {p50:.0f} ms, p99 {p99:.0f} ms"


def weights_of(snapshot: dict[str, Any]) -> str | None:
    """The weights that the run's decoder uses, None where there is no decoder."""
    for block in snapshot["blocks"].values():
        for setting in block["settings"]:
            if setting["name"] == "weights" and block["class"] == "SwinDecoder":
                return str(setting["value"])
    return None
