"""Figures of an evaluation: quality against SNR and bits, pictures with their errors, bits over feature maps."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semstream.metrics.figures import COLOURS, DASHES, MARKERS, STYLE, new_figure, save_figure, snr_axis
from semstream.metrics.quality import psnr
from tools.evaluation.table import Row

METRICS = {"psnr_db": "PSNR (dB)", "ms_ssim": "MS-SSIM", "lpips": "LPIPS (lower is better)"}
ERROR_GAIN = 4
_AXES = {"budget_bits": "bits a feature", "asked_cbr": "channel bandwidth ratio (channel uses a colour value)"}
_GREY = "#777777"

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Reference:
    """Published values to draw beside ours."""

    label: str
    x: Sequence[float]
    y: Sequence[float]


def plot_lines(
    panels: Mapping[str, Sequence[Row]],
    path: Path,
    label_of: Callable[[Row], str],
    x: str = "snr_db",
    metric: str = "psnr_db",
    title: str = "",
    references: Mapping[str, Sequence[Reference]] | None = None,
) -> None:
    """Quality against SNR (or bits, or CBR): a panel a group of rows, a line a label, a band its 95 % interval.

    Parameters
    ----------
    panels
        Title of each panel to its rows.
    path
        Where to write.
    label_of
        Words for a row's line; the same words have the same colour in every panel.
    x, metric
        Columns of the axes.
    references
        Published values, by panel.
    """
    import matplotlib

    labels = list(dict.fromkeys(label_of(row) for rows in panels.values() for row in rows))
    figure = new_figure(5.2 * len(panels) + 0.4, 4.4)
    with matplotlib.rc_context(STYLE):
        grid = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        for axes, (name, rows) in zip(grid, panels.items(), strict=True):
            axes.set_title(name, loc="left")
            known = [float(row[x]) for row in rows if row[x] is not None]
            if x == "snr_db":
                places, ticks = snr_axis(set(known))
                axes.set_xticks(*ticks)
                axes.set_xlabel("SNR, $E_s/N_0$ (dB)")
            else:
                places = {value: value for value in known}
                axes.set_xlabel(_AXES.get(x, x))
            if x == "asked_cbr":
                marks = sorted(set(known))
                axes.set_xticks(marks, [str(Fraction(mark).limit_denominator(100)) for mark in marks])
            for index, label in enumerate(labels):
                chosen = [
                    r for r in rows if label_of(r) == label and r[metric] is not None and math.isfinite(r[metric])
                ]
                if chosen:
                    _line(axes, chosen, places, label, index, x, metric)
            for index, reference in enumerate((references or {}).get(name, ())):
                axes.plot(
                    reference.x, reference.y, color=_GREY, linestyle=DASHES[(index + 3) % len(DASHES)], linewidth=1.1,
                    marker=".", label=reference.label, zorder=1,
                )  # fmt: skip
        grid[0].set_ylabel(METRICS[metric])
        by_label: dict[str, Any] = {}
        for axes in grid:
            by_label |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        if by_label:
            figure.legend(by_label.values(), by_label.keys(), loc="outside lower center", ncols=2 * len(panels))
        if title:
            figure.suptitle(title, fontsize=11)
        save_figure(figure, path)


def _line(
    axes: Any, rows: Sequence[Row], places: Mapping[float, float], label: str, index: int, x: str, metric: str
) -> None:
    rows = sorted(rows, key=lambda row: float(row[x]))
    at = np.array([places[float(row[x])] for row in rows])
    mean = np.array([float(row[metric]) for row in rows])
    colour = COLOURS[index % len(COLOURS)]
    axes.plot(
        at, mean, color=colour, marker=MARKERS[index % len(MARKERS)], linestyle=DASHES[index % len(DASHES)],
        markeredgecolor="white", markeredgewidth=0.6, label=label, zorder=3,
    )  # fmt: skip
    if metric == "psnr_db":
        around = np.array([float(row["psnr_ci95"] or 0) for row in rows])
        axes.fill_between(at, mean - around, mean + around, color=colour, alpha=0.12, linewidth=0)


def plot_strip(original: Picture, received: Mapping[str, Mapping[float, Picture]], path: Path, title: str = "") -> None:
    """One picture as received at each SNR, a row a branch, each above its error (absolute, `ERROR_GAIN` times).

    Parameters
    ----------
    original
        (H, W, 3) uint8.
    received
        Branch to SNR in dB to the received picture.
    path
        Where to write.
    """
    import matplotlib

    snrs = sorted({snr for pictures in received.values() for snr in pictures})
    height = original.shape[0] / original.shape[1] * 1.75
    figure = new_figure(1.8 * (len(snrs) + 1), (2 * height + 0.35) * len(received) + 0.5)
    with matplotlib.rc_context(STYLE):
        grid = figure.subplots(2 * len(received), len(snrs) + 1, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for i, (branch, pictures) in enumerate(received.items()):
            _show(grid[2 * i][0], original, "original" if i == 0 else "")
            grid[2 * i + 1][0].text(0.98, 0.5, f"{branch}\n\nerror × {ERROR_GAIN}", ha="right", va="center", fontsize=8)
            for j, snr in enumerate(snrs):
                if snr in pictures:
                    got = pictures[snr]
                    where = "error-free" if math.isinf(snr) else f"{snr:g} dB"
                    _show(grid[2 * i][j + 1], got, f"{where}: {psnr(original, got):.1f} dB")
                    error = np.abs(original.astype(int) - got.astype(int)) * ERROR_GAIN
                    _show(grid[2 * i + 1][j + 1], np.minimum(error, 255).astype(np.uint8), "")
        if title:
            figure.suptitle(title, fontsize=11)
        save_figure(figure, path)


def _show(axes: Any, picture: Picture, title: str) -> None:
    axes.imshow(picture, interpolation="nearest" if max(picture.shape[:2]) < 128 else "antialiased")
    axes.set_title(title, fontsize=8)


def plot_bits(
    features: NDArray[np.float32],
    bits: NDArray[np.uint8],
    contribution: NDArray[np.floating],
    path: Path,
    picture: Picture | None = None,
    title: str = "",
) -> None:
    """Feature maps in the order of their contribution, each framed and labelled by its bits.

    Parameters
    ----------
    features
        (h, w, C) of one picture.
    bits
        (C,) bits of each channel.
    contribution
        (C,) that orders the channels.
    """
    import matplotlib

    order = np.argsort(-contribution, kind="stable")
    columns = 9
    tiles: list[tuple[str, Any, int | None]] = [("picture", picture, None)] if picture is not None else []
    tiles += [(f"#{c}: {bits[c]} bits", features[..., c], int(bits[c])) for c in order]
    lines = math.ceil(len(tiles) / columns)
    figure = new_figure(columns * 1.1, lines * 1.3 + 0.5)
    shades = matplotlib.colormaps["viridis"]
    most = max(1, int(bits.max()))
    with matplotlib.rc_context(STYLE):
        grid = figure.subplots(lines, columns, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, (label, content, width) in zip(grid.flat, tiles, strict=False):
            axes.set_axis_on()
            axes.set_xticks([])
            axes.set_yticks([])
            axes.grid(visible=False)
            axes.set_title(label, fontsize=7, color="black" if width is None or width else _GREY)
            if width is None:
                axes.imshow(content)
                continue
            limit = float(np.abs(content).max()) or 1.0
            axes.imshow(
                content, cmap="gray", vmin=-limit, vmax=limit, interpolation="nearest", alpha=1 if width else 0.3
            )
            for spine in axes.spines.values():
                spine.set_visible(True)
                spine.set_color(shades(width / most) if width else "#CCCCCC")
                spine.set_linewidth(2.5)
        if title:
            figure.suptitle(title, fontsize=11)
        save_figure(figure, path)
