"""Figures of a run: quality against SNR, and the frames themselves."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from semstream.metrics.quality import psnr

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from semstream.metrics.report import Record

# Okabe and Ito's palette, told apart by colour-blind readers; with markers and dashes also in black and white print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES: tuple[Any, ...] = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (3, 1)), ":")
_PANELS = (
    ("psnr_db", "PSNR", "PSNR (dB)", "higher is better"),
    ("ms_ssim", "MS-SSIM", "MS-SSIM", "higher is better"),
    ("lpips", "LPIPS", "LPIPS", "lower is better"),
)
STYLE: Any = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "lines.markersize": 5.0,
    "legend.frameon": False,
    "savefig.dpi": 160,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}

Pictures = Mapping[float, NDArray[np.uint8]]


def plot_quality_vs_snr(
    summary: Sequence[Record],
    path: str | Path,
    title: str = "",
    lpips_reason: str = "",
) -> None:
    """Plot PSNR, MS-SSIM and LPIPS against SNR: a panel a metric, a line a branch, a band of ± one standard deviation.

    Parameters
    ----------
    summary : list of dict
        From `semstream.metrics.report.summarise`. Error-free transmission (infinite SNR) stands at the right, as ∞.
        Infinite values (the PSNR of equal pictures) cannot be drawn and are left out.
    path : path
        Where to write; the suffix gives the format (.png, .pdf, .svg). Folders are made.
    title : str
    lpips_reason : str
        Said in the LPIPS panel where no record has that metric.
    """
    places, ticks = snr_axis({float(row["snr_db"]) for row in summary})
    branches = list(dict.fromkeys(str(row["branch"]) for row in summary))
    figure = new_figure(10.5, 3.7)
    import matplotlib

    with matplotlib.rc_context(STYLE):
        for panel, axes in zip(_PANELS, figure.subplots(1, len(_PANELS)), strict=True):
            _plot_metric(axes, panel, summary, branches, places, ticks, lpips_reason)
        if branches:
            handles, labels = figure.axes[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 4))
        if title:
            figure.suptitle(title, fontsize=11)
        save_figure(figure, path)


def _plot_metric(
    axes: Axes,
    panel: tuple[str, str, str, str],
    summary: Sequence[Record],
    branches: Sequence[str],
    places: Mapping[float, float],
    ticks: tuple[list[float], list[str]],
    lpips_reason: str,
) -> None:
    key, name, label, hint = panel
    axes.set_title(f"{name} ({hint})", loc="left")
    axes.set_xlabel("SNR, $E_s/N_0$ (dB)")
    axes.set_ylabel(label)
    drawn = 0
    for index, branch in enumerate(branches):
        rows = [row for row in summary if str(row["branch"]) == branch and _finite(row.get(key))]
        colour = COLOURS[index % len(COLOURS)]
        style = {"marker": MARKERS[index % len(MARKERS)], "linestyle": DASHES[index % len(DASHES)]}
        x = np.array([places[float(row["snr_db"])] for row in rows])
        mean = np.array([float(row[key]) for row in rows])
        axes.plot(x, mean, color=colour, label=branch, markeredgecolor="white", markeredgewidth=0.6, zorder=3, **style)
        spread = np.array([float(row.get(f"{key}_std") or 0.0) for row in rows])
        if spread.any():
            axes.fill_between(x, mean - spread, mean + spread, color=colour, alpha=0.13, linewidth=0)
        drawn += len(rows)
    axes.set_xticks(*ticks)
    if not drawn:
        said = (key == "lpips" and lpips_reason) or f"{name} was not measured"
        axes.text(
            0.5, 0.5, textwrap.fill(said, 38), transform=axes.transAxes, ha="center", va="center", color="#555555"
        )
        axes.set_axis_off()
        axes.set_title(axes.get_title(loc="left"), loc="left", visible=True)


def snr_axis(values: set[float]) -> tuple[dict[float, float], tuple[list[float], list[str]]]:
    """Place of each SNR on the axis, and its ticks; infinity is one step right of the rest."""
    finite = sorted(value for value in values if math.isfinite(value))
    step = (finite[-1] - finite[0]) / (len(finite) - 1) if len(finite) > 1 else 1.0
    places = {value: value for value in finite}
    labels = [f"{value:g}" for value in finite]
    if math.inf in values:
        places[math.inf] = finite[-1] + step if finite else 0.0
        labels.append("∞")
    return places, (list(places.values()), labels)


def plot_frames(
    originals: Pictures | NDArray[np.uint8],
    received: Mapping[str, Pictures],
    path: str | Path,
    title: str = "",
) -> None:
    """Show originals and what each branch received of them: a column an SNR, a row a branch, the PSNR under each.

    Parameters
    ----------
    originals : dict of SNR to picture, or one picture for all
        uint8 (H, W, 3).
    received : dict of branch to dict of SNR to picture
        Pictures of the original's shape; one that is missing leaves its place empty.
    path : path
        Where to write; the suffix gives the format.
    title : str
    """
    if isinstance(originals, np.ndarray):
        one = originals
        originals = {snr: one for pictures in received.values() for snr in pictures}
    levels = sorted(originals)
    if not levels:
        raise ValueError("originals: expected at least one picture to show, got none; keep a frame at each SNR")
    rows = 1 + len(received)
    height, width = originals[levels[0]].shape[:2]
    cell = 1.75
    aspect = min(max(height / width, 0.3), 3.0)
    figure = new_figure(cell * len(levels) + 0.5, (cell * aspect + 0.12) * rows + (0.75 if title else 0.4))
    import matplotlib

    with matplotlib.rc_context(STYLE):
        grid = figure.subplots(rows, len(levels), squeeze=False)
        for column, snr in enumerate(levels):
            axes = grid[0][column]
            _show(axes, originals[snr])
            axes.set_title("error-free" if math.isinf(snr) else f"SNR {snr:g} dB")
            for row, pictures in enumerate(received.values(), start=1):
                picture = pictures.get(snr)
                _show(grid[row][column], picture)
                if picture is not None:
                    value = psnr(originals[snr], picture)
                    grid[row][column].set_xlabel("identical" if math.isinf(value) else f"{value:.2f} dB", labelpad=3)
        for row, name in enumerate(("original", *received)):
            grid[row][0].set_ylabel(textwrap.fill(name, 22))
        if title:
            figure.suptitle(title, fontsize=11)
        save_figure(figure, path)


def _show(axes: Axes, picture: NDArray[np.uint8] | None) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if picture is not None:  # small pictures show their pixels, not a blur
        axes.imshow(picture, interpolation="nearest" if max(picture.shape[:2]) < 128 else "antialiased")


def new_figure(width: float, height: float) -> Figure:
    """A figure of its own: pyplot's global state belongs to the user."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure; folders are made."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target)


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
