"""A layout as SVG: real text in a monospaced font, sharp at any size, no font of ours needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from semstream.drawing.diagram import LABEL_SIZE, LINE_HEIGHT, NAME_SIZE
from semstream.drawing.layout import HEAD, MARGIN, Layout
from semstream.drawing.style import LIGHT, Style

FONT = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"


@dataclass(frozen=True)
class Now:
    """What is to be shown in place of what the diagram says, by box and by number of the arrow."""

    notes: Mapping[str, str] = field(default_factory=dict)
    """Last line of a box."""
    borders: Mapping[str, str] = field(default_factory=dict)
    """Colour of a box's border."""
    labels: Mapping[int, str] = field(default_factory=dict)
    """First line of what stands at an arrow."""
    warned: Sequence[int] = ()
    """Arrows that are drawn as a warning."""


def svg(layout: Layout, style: Style = LIGHT, now: Now | None = None, *, title: bool = True) -> str:
    """The picture as a text that is an SVG file.

    Parameters
    ----------
    style
        Colours.
    now
        Live numbers; boxes and arrows stay where they are.
    title
        Whether the diagram's title stands above.
    """
    now = now or Now()
    head = 0.0 if title else HEAD
    size = f"{layout.width:.0f} {layout.height - head:.0f}".split()
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 {head:g} {size[0]} {size[1]}" width="{size[0]}pt" '
        f'height="{size[1]}pt" font-family="{FONT}" role="img" aria-label="{escape(layout.diagram.title)}">',
        f'<rect y="{head:g}" width="{size[0]}" height="{size[1]}" fill="{style.ground}"/>',
    ]
    if title:
        parts.append(_text(layout.diagram.title, MARGIN, MARGIN + NAME_SIZE, NAME_SIZE, style.dim))
    for branch, (x, y, width, height) in layout.frames:
        colour = style.branch(layout, branch)
        parts.append(_rect(x, y, width, height, colour, colour, "0.08", 4))
        parts.append(_text(branch, x + 6, y + LABEL_SIZE + 2, LABEL_SIZE, colour))
    for index, arrow in enumerate(layout.arrows):
        colour = style.warning if index in now.warned else style.line
        way = " ".join(f"{x:.1f},{y:.1f}" for x, y in arrow.points)
        dash = ' stroke-dasharray="4 3"' if layout.diagram.arrows[index].dashed else ""
        parts.append(f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="1.2"{dash}/>')
        x, y = arrow.points[-1]
        parts.append(f'<path d="M{x:.1f},{y:.1f}l-6,-3v6z" fill="{colour}"/>')
    for index, arrow in enumerate(layout.arrows):
        lines = layout.diagram.arrows[index].label
        if arrow.label is None:
            continue
        if index in now.labels:
            lines = (now.labels[index], *lines[1:])
        y = arrow.label[1] - len(lines) * LABEL_SIZE * LINE_HEIGHT / 2
        colour = style.warning if index in now.warned else style.dim
        for number, line in enumerate(lines):
            at = y + (number + 0.8) * LABEL_SIZE * LINE_HEIGHT
            parts.append(_text(line, arrow.label[0], at, LABEL_SIZE, colour, "middle"))
    for box in layout.diagram.boxes:
        x, y, width, height = layout.boxes[box.name]
        border = now.borders.get(box.name, style.border)
        parts.append(_rect(x, y, width, height, style.fill[box.kind], border, "1", 5))
        lines = box.lines if box.name not in now.notes else (*box.lines[:-1], now.notes[box.name])
        for number, (line, baseline) in enumerate(zip(lines, box.baselines(), strict=True)):
            colour = style.dim if number else style.text
            parts.append(_text(line, x + width / 2, y + baseline, box.size_of(number), colour, "middle"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _text(text: str, x: float, y: float, size: float, colour: str, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" fill="{colour}" text-anchor="{anchor}" '
        f'xml:space="preserve">{escape(text)}</text>'
    )


def _rect(x: float, y: float, width: float, height: float, fill: str, border: str, opacity: str, round_: int) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{round_}" fill="{fill}" '
        f'fill-opacity="{opacity}" stroke="{border}" stroke-opacity="{"0.4" if opacity != "1" else "1"}"/>'
    )
