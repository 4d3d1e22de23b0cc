"""Heat map of a sweep: quality over SNR and bits (or schemes), a panel for each of the rest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from semstream.metrics.figures import STYLE, new_figure, save_figure
from tools.evaluation.figures import METRICS
from tools.evaluation.table import Row

COLUMNS_OF_PANELS = 4


def plot_heatmap(rows: Sequence[Row], path: Path, metric: str = "psnr_db") -> None:
    """Draw the mean over seeds: SNR from left to right, budgets upwards; with one budget, schemes instead.

    Parameters
    ----------
    rows
        Of the sweep.
    path
        Where to write; the suffix gives the format.
    metric
        Column that the colour shows.
    """
    import matplotlib
    import matplotlib.cm
    import matplotlib.colors

    several_bits = len({row["budget_bits"] for row in rows}) > 1
    cells: dict[str, dict[tuple[str, float], list[float]]] = {}
    for row in rows:
        value = row[metric]
        if value is None or not math.isfinite(value):
            continue
        words = [row["channel"], row["weights"] if len({r["weights"] for r in rows}) > 1 else ""]
        words.append(row["scheme"] if several_bits else "")
        level = _level(row, several_bits)
        panel = cells.setdefault(", ".join(filter(None, words)), {})
        panel.setdefault((level, float(row["snr_db"])), []).append(float(value))
    if not cells:
        return
    snrs = sorted({float(row["snr_db"]) for row in rows})
    order = {_level(row, several_bits): row["budget_bits"] for row in rows}
    levels = sorted(order, key=lambda level: (order[level], level))
    means = [sum(values) / len(values) for panel in cells.values() for values in panel.values()]
    across = min(COLUMNS_OF_PANELS, len(cells))
    down = math.ceil(len(cells) / across)
    size = 0.62 * len(snrs) + 1.4, 0.4 * len(levels) + 1.1
    figure = new_figure(across * size[0] + 0.8, down * size[1] + 0.4)
    with matplotlib.rc_context(STYLE | {"axes.grid": False}):
        grid = figure.subplots(down, across, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, (title, panel) in zip(grid.flat, cells.items(), strict=False):
            axes.set_axis_on()
            values = _grid(panel, levels, snrs)
            axes.imshow(values, aspect="auto", origin="lower", vmin=min(means), vmax=max(means), cmap="viridis")
            middle = (min(means) + max(means)) / 2
            for (y, x), value in np.ndenumerate(values):
                if math.isfinite(value):
                    shade = "white" if value < middle else "black"
                    axes.text(x, y, f"{value:.4g}", ha="center", va="center", color=shade, fontsize=7)
            axes.set_xticks(range(len(snrs)), ["∞" if math.isinf(snr) else f"{snr:g}" for snr in snrs])
            axes.set_yticks(range(len(levels)), levels)
            axes.set_xlabel("SNR, $E_s/N_0$ (dB)")
            axes.set_title(title, loc="left", fontsize=9)
        scale = matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(min(means), max(means)), "viridis")
        figure.colorbar(scale, ax=grid, label=METRICS[metric], shrink=0.8)
        save_figure(figure, path)


def _level(row: Row, several_bits: bool) -> str:
    if not several_bits:
        return str(row["scheme"])
    return f"{row['budget_bits']:g} bits" if row["budget_bits"] else "unquantized"


def _grid(
    panel: Mapping[tuple[str, float], Sequence[float]], levels: Sequence[str], snrs: Sequence[float]
) -> np.ndarray:
    values = np.full((len(levels), len(snrs)), np.nan)
    for (level, snr), found in panel.items():
        values[levels.index(level), snrs.index(snr)] = sum(found) / len(found)
    return values
