"""Look of the live page: one dark palette, a grid that becomes one column on a narrow screen."""

from __future__ import annotations

from typing import Any

GROUND, PANEL, LINE, TEXT, DIM = "#0f1318", "#181e26", "#2b3440", "#e6ebf1", "#8c99a8"
GOOD, WARN, BAD = "#5ac48a", "#e9b44c", "#e4626b"
BRANCHES = ("#5aa9e6", "#f58f55", "#5ac48a", "#d684d0", "#e9b44c", "#7fd8d4")

PAGE_CSS = f"""
:root {{ color-scheme: dark; }}
html, body {{ background: {GROUND}; color: {TEXT}; margin: 0; font: 14px/1.45 system-ui, sans-serif; }}
"""
GRID_CSS = """
:host { display: grid !important; grid-template-columns: repeat(12, minmax(0, 1fr)); gap: 12px; width: 100%; }
@media (max-width: 900px) { :host { grid-template-columns: minmax(0, 1fr) !important; } }
"""
ROOT_CSS = ":host { display: block !important; padding: 12px; box-sizing: border-box; width: 100%; }"


def panel_css(columns: int) -> str:
    """Stylesheet of a panel that takes so many of the grid's twelve columns."""
    return f"""
:host {{ grid-column: span {columns}; background: {PANEL}; border: 1px solid {LINE}; border-radius: 8px;
  padding: 10px; min-width: 0; box-sizing: border-box; overflow-x: auto; }}
@media (max-width: 900px) {{ :host {{ grid-column: auto; }} }}
"""


TEXT_CSS = f"""
:host {{ color: {TEXT}; }}
.bk-clearfix {{ display: block !important; width: 100%; }}
h1 {{ font-size: 18px; margin: 0; font-weight: 600; display: inline; }}
h2 {{ font-size: 12px; margin: 0 0 6px; font-weight: 600; color: {DIM}; text-transform: uppercase;
  letter-spacing: .05em; }}
table {{ border-collapse: collapse; width: 100%; font-size: 12px; font-variant-numeric: tabular-nums; }}
td, th {{ text-align: right; padding: 2px 6px; border-bottom: 1px solid {LINE}; white-space: nowrap; }}
td:first-child, th:first-child {{ text-align: left; }}
th {{ color: {DIM}; font-weight: 500; }}
.pill {{ display: inline-block; padding: 1px 9px; border-radius: 9px; font-size: 12px; margin-left: 8px;
  color: {GROUND}; }}
.dim {{ color: {DIM}; }}
.log {{ font: 12px/1.5 ui-monospace, monospace; max-height: 170px; overflow: auto; white-space: pre-wrap; }}
.pictures {{ display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 8px; }}
.pictures img {{ width: 100%; image-rendering: pixelated; border-radius: 4px; display: block; }}
.scroll {{ overflow: auto; max-height: 300px; }}
"""
WIDGET_CSS = f"""
:host {{ color: {TEXT}; }}
label, .bk-slider-title {{ color: {TEXT} !important; font-size: 12px; }}
input, select {{ background: {GROUND} !important; color: {TEXT} !important; border-color: {LINE} !important; }}
.bk-tab {{ color: {DIM} !important; border: none !important; padding: 2px 10px !important; }}
.bk-tab.bk-active {{ background: {LINE} !important; color: {TEXT} !important; border-radius: 4px; }}
.bk-header {{ border: none !important; }}
.bk-btn {{ background: {LINE} !important; color: {TEXT} !important; border-color: {LINE} !important; }}
.bk-btn.bk-active {{ background: {BRANCHES[0]} !important; color: {GROUND} !important; }}
"""


def figure(title: str, least_width: int = 0, **options: Any) -> Any:
    """An empty plot in the page's look; a narrower panel scrolls."""
    from bokeh.models.css import InlineStyleSheet
    from bokeh.plotting import figure as new

    settings: dict[str, Any] = {
        "height": 260, "sizing_mode": "stretch_width", "toolbar_location": None, "background_fill_color": PANEL,
        "border_fill_color": PANEL, "outline_line_color": None, "min_border_right": 16, "tools": "",
    }  # fmt: skip
    sheet = InlineStyleSheet(css=f":host {{ min-width: {least_width}px; }}")
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


def dress_legend(plot: Any) -> None:
    """Give the plot's legend the page's look."""
    for legend in plot.legend:
        legend.background_fill_color, legend.background_fill_alpha = PANEL, 0.7
        legend.border_line_color = None
        legend.label_text_color, legend.label_text_font_size = TEXT, "11px"
        legend.spacing, legend.padding, legend.glyph_width = 0, 4, 16
