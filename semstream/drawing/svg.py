"""A layout as SVG: real text in a monospaced font, sharp at any size, no font of ours needed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from html import escape

from semstream.drawing.diagram import LABEL_SIZE, LINE_HEIGHT, NAME_SIZE
from semstream.drawing.layout import HEAD, MARGIN, Layout
from semstream.drawing.places import PlacedArrow
from semstream.drawing.style import LIGHT, Style

FONT = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"


@dataclass(frozen=True)
class Now:
    """Live numbers: notes and colours of borders by box; labels by number of the arrow; arrows that warn."""

    notes: Mapping[str, str]
    borders: Mapping[str, str]
    labels: Mapping[int, str]
    warned: Collection[int]


def svg(layout: Layout, style: Style = LIGHT, *, title: bool = True, numbered: bool = False) -> str:
    """The picture as a text that is an SVG file.

    Parameters
    ----------
    style
        Colours.
    title
        Whether the diagram's title stands above.
    numbered
        Leave out the last line of every box and the first of every label: `live_svg` writes them.
    """
    parts = [f'<rect width="100%" height="100%" y="{0 if title else HEAD:g}" fill="{style.ground}"/>']
    if title:
        parts.append(_text(layout.diagram.title, MARGIN, MARGIN + NAME_SIZE, NAME_SIZE, style.dim))
    for branch, (x, y, width, height) in layout.frames:
        colour = style.branch(layout, branch)
        paint = f'fill="{colour}" fill-opacity="0.08" stroke="{colour}" stroke-opacity="0.4"'
        parts.append(_rect((x, y, width, height), 4, paint))
        parts.append(_text(branch, x + 6, y + LABEL_SIZE + 2, LABEL_SIZE, colour))
    for drawn, arrow in zip(layout.diagram.arrows, layout.arrows, strict=True):
        parts += _arrow(arrow, style.line, drawn.dashed)
        parts += _label(arrow, drawn.label, style.dim, 1 if numbered else 0)
    for box in layout.diagram.boxes:
        place = layout.boxes[box.name]
        parts.append(_rect(place, 5, f'fill="{style.fill[box.kind]}" stroke="{style.border}"'))
        shown = len(box.lines) - numbered
        for number, (line, baseline) in enumerate(zip(box.lines[:shown], box.baselines()[:shown], strict=True)):
            colour = style.dim if number else style.text
            x, y = place[0] + place[2] / 2, place[1] + baseline
            parts.append(_text(line, x, y, box.size_of(number), colour, "middle"))
    return _file(layout, parts, title)


def live_svg(layout: Layout, style: Style, now: Now) -> str:
    """What is new in the picture, to lie over that of `svg` with ``title=False`` and ``numbered=True``."""
    parts = []
    for index, arrow in enumerate(layout.arrows):
        drawn = layout.diagram.arrows[index]
        if index in now.warned:
            parts += _arrow(arrow, style.warning, drawn.dashed)
        parts += _label(arrow, (now.labels.get(index, ""), *drawn.label[1:]), style.warning, 0, 1)
    for box in layout.diagram.boxes:
        place = layout.boxes[box.name]
        if box.name in now.borders:
            parts.append(_rect(place, 5, f'fill="none" stroke="{now.borders[box.name]}" stroke-width="1.5"'))
        x, y = place[0] + place[2] / 2, place[1] + box.baselines()[-1]
        parts.append(_text(now.notes.get(box.name, ""), x, y, box.size_of(1), style.dim, "middle"))
    return _file(layout, [part for part in parts if part], title=False)


def _file(layout: Layout, parts: Iterable[str], title: bool) -> str:
    head = 0.0 if title else HEAD
    width, height = f"{layout.width:.1f}", f"{layout.height - head:.1f}"
    start = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 {head:g} {width} {height}" width="{width}pt" '
        f'height="{height}pt" font-family="{FONT}" role="img" aria-label="{escape(layout.diagram.title)}">'
    )
    return "\n".join([start, *parts, "</svg>"]) + "\n"


def _arrow(arrow: PlacedArrow, colour: str, dashed: bool) -> list[str]:
    way = " ".join(f"{x:.1f},{y:.1f}" for x, y in arrow.points)
    dash = ' stroke-dasharray="4 3"' if dashed else ""
    x, y = arrow.points[-1]
    return [
        f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="1.2"{dash}/>',
        f'<path d="M{x:.1f},{y:.1f}l-6,-3v6z" fill="{colour}"/>',
    ]


def _label(arrow: PlacedArrow, lines: tuple[str, ...], colour: str, first: int, last: int | None = None) -> list[str]:
    """The lines from `first` to before `last` of what stands at an arrow."""
    if arrow.label is None:
        return []
    x, top = arrow.label[0], arrow.label[1] - len(lines) * LABEL_SIZE * LINE_HEIGHT / 2
    return [
        _text(line, x, top + (number + 0.8) * LABEL_SIZE * LINE_HEIGHT, LABEL_SIZE, colour, "middle")
        for number, line in list(enumerate(lines))[first:last]
    ]


def _text(text: str, x: float, y: float, size: float, colour: str, anchor: str = "start") -> str:
    if not text:
        return ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" fill="{colour}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )


def _rect(place: tuple[float, float, float, float], corner: int, paint: str) -> str:
    x, y, width, height = place
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{corner}" {paint}/>'
