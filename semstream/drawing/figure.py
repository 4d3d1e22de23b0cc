"""A layout as PNG or PDF, painted by matplotlib: what `semstream.drawing.svg` draws, stroke by stroke."""

from __future__ import annotations

import io
from typing import Any, Literal

from semstream.drawing.diagram import LABEL_SIZE, LINE_HEIGHT, NAME_SIZE
from semstream.drawing.layout import MARGIN, Layout
from semstream.drawing.style import LIGHT, Style

DPI = 144
FONT = "DejaVu Sans Mono"  # comes with matplotlib


def painted(layout: Layout, form: Literal["png", "pdf"] = "png", style: Style = LIGHT) -> bytes:
    """The picture as a file of that form; a PNG has two pixels a point."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(layout.width / 72, layout.height / 72), dpi=DPI, facecolor=style.ground)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, layout.width), ylim=(layout.height, 0))
    _text(axes, layout.diagram.title, MARGIN, MARGIN + NAME_SIZE, NAME_SIZE, style.dim)
    for branch, (x, y, width, height) in layout.frames:
        colour = style.branch(layout, branch)
        _rect(axes, (x, y, width, height), colour, colour, 4, faint=True)
        _text(axes, branch, x + 6, y + LABEL_SIZE + 2, LABEL_SIZE, colour)
    for drawn, arrow in zip(layout.diagram.arrows, layout.arrows, strict=True):
        xs, ys = zip(*arrow.points, strict=True)
        axes.plot(xs, ys, color=style.line, linewidth=1.2, linestyle=(0, (4, 3)) if drawn.dashed else "-", zorder=2)
        x, y = arrow.points[-1]
        axes.fill([x, x - 6, x - 6], [y, y - 3, y + 3], color=style.line, linewidth=0, zorder=2)
        if arrow.label is not None:
            top = arrow.label[1] - len(drawn.label) * LABEL_SIZE * LINE_HEIGHT / 2
            for number, line in enumerate(drawn.label):
                at = top + (number + 0.8) * LABEL_SIZE * LINE_HEIGHT
                _text(axes, line, arrow.label[0], at, LABEL_SIZE, style.dim, "center")
    for box in layout.diagram.boxes:
        x, y, width, height = layout.boxes[box.name]
        _rect(axes, layout.boxes[box.name], style.fill[box.kind], style.border, 5)
        for number, (line, baseline) in enumerate(zip(box.lines, box.baselines(), strict=True)):
            colour = style.dim if number else style.text
            _text(axes, line, x + width / 2, y + baseline, box.size_of(number), colour, "center")
    file = io.BytesIO()
    figure.savefig(file, format=form)
    return file.getvalue()


def _text(axes: Any, text: str, x: float, y: float, size: float, colour: str, align: str = "left") -> None:
    axes.text(x, y, text, fontsize=size, color=colour, ha=align, va="baseline", family=FONT, zorder=4, parse_math=False)


def _rect(
    axes: Any, place: tuple[float, float, float, float], fill: str, border: str, corner: int, *, faint: bool = False
) -> None:
    from matplotlib.colors import to_rgba
    from matplotlib.patches import FancyBboxPatch

    x, y, width, height = place
    shape = f"round,pad=0,rounding_size={corner}"
    inside, edge = to_rgba(fill, 0.08 if faint else 1), to_rgba(border, 0.4 if faint else 1)
    patch = FancyBboxPatch((x, y), width, height, boxstyle=shape, linewidth=1, facecolor=inside, edgecolor=edge)
    patch.set_zorder(1 if faint else 3)
    axes.add_patch(patch)
