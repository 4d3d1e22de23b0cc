"""Look of the live page's plots: one dark palette; what is around them is in static/page.css."""

from __future__ import annotations

from typing import Any

import numpy as np

GROUND, PANEL, LINE, TEXT, DIM = "#0f1318", "#181e26", "#2b3440", "#e6ebf1", "#8c99a8"
GOOD, WARN, BAD = "#5ac48a", "#e9b44c", "#e4626b"
BRANCHES = ("#5aa9e6", "#f58f55", "#5ac48a", "#d684d0", "#e9b44c", "#7fd8d4")

PALETTE = {
    "ground": GROUND, "panel": PANEL, "line": LINE, "text": TEXT, "dim": DIM, "good": GOOD, "warn": WARN, "bad": BAD,
    "accent": BRANCHES[0],
}  # fmt: skip
"""Colours by the names that page.css knows them by."""


def put(source: Any, data: dict[str, Any]) -> None:
    """Give a data source new columns, if they are new: what has not changed is not sent to browsers again."""
    old = source.data
    if old.keys() != data.keys() or any(not np.array_equal(old[name], data[name]) for name in data):
        source.data = data


def figure(title: str, least_width: int = 0, **options: Any) -> Any:
    """An empty plot in the page's look; a narrower panel scrolls."""
    from bokeh.models.css import InlineStyleSheet
    from bokeh.plotting import figure as new

    settings: dict[str, Any] = {
        "height": 260, "sizing_mode": "stretch_width", "toolbar_location": None, "background_fill_color": PANEL,
        "border_fill_color": PANEL, "outline_line_color": None, "min_border_right": 16, "tools": "",
    }  # fmt: skip
    tip = f".bk-Tooltip {{ background: {GROUND} !important; border-color: {LINE} !important; padding: 0 !important; }}"
    sheet = InlineStyleSheet(css=f":host {{ min-width: {least_width}px; }} {tip}")
    plot: Any = new(title=title, stylesheets=[sheet], **(settings | options))
    plot.title.text_color, plot.title.text_font_size, plot.title.text_font_style = DIM, "12px", "normal"
    for axis in plot.axis:
        axis.axis_line_color = axis.major_tick_line_color = LINE
        axis.minor_tick_line_color = None
        axis.major_label_text_color = axis.axis_label_text_color = DIM
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_font_size = axis.major_label_text_font_size = "11px"
    plot.grid.grid_line_color = LINE
    plot.grid.grid_line_alpha = 0.6
    return plot


def hover(rows: list[tuple[str, str]]) -> Any:
    """A tool that shows the numbers of the nearest point of its renderers, of which it has none yet."""
    from bokeh.models.tools import HoverTool

    lines = "".join(
        f"<div>{f'<span style=color:{DIM}>{name}</span> ' if name else ''}<span>{value}</span></div>"
        for name, value in rows
    )
    box = f"background:{GROUND};color:{TEXT};padding:6px 9px;font:12px system-ui,sans-serif"
    return HoverTool(tooltips=f"<div style='{box}'>{lines}</div>", renderers=[], mode="mouse")


def add_legend(plot: Any, location: Any) -> None:
    """Give the plot a legend before it has anything to name: browsers do not take one well that comes later."""
    from bokeh.models.annotations import Legend

    plot.add_layout(Legend(items=[], location=location))
    dress_legend(plot)


def dress_legend(plot: Any) -> None:
    """Give the plot's legend the page's look."""
    for legend in plot.legend:
        legend.background_fill_color, legend.background_fill_alpha = PANEL, 0.7
        legend.border_line_color = None
        legend.label_text_color, legend.label_text_font_size = TEXT, "11px"
        legend.spacing, legend.padding, legend.glyph_width = 0, 4, 16
