"""Where everything in a drawing stands: layered by Graphviz, in rows where it would be a strip.

Graphviz lays out each row (`semstream.drawing.rows`). Arrows from row to row leave a row at its right end and enter the
other at its left end, through lanes where no box stands (`semstream.drawing.lanes`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from semstream.drawing.diagram import NAME_SIZE, Diagram, text_width
from semstream.drawing.lanes import Way, joined, lanes
from semstream.drawing.places import PlacedArrow, Rectangle, moved, shifted
from semstream.drawing.rows import Bundle, Row, bundle

MARGIN, HEAD = 14.0, 26.0
WIDEST, NARROWEST = 2.3, 0.9
"""Width over height: a wider drawing gets rows, a narrower one columns."""
MOST_ROWS = 12
STAGGER = (2, 3, 4, 6)
LABEL_ROOM = 60.0
"""Points between two columns, about."""


@dataclass(frozen=True)
class Layout:
    """A diagram with every place in it: boxes by name, arrows in the diagram's order, frames of its branches."""

    diagram: Diagram
    width: float
    height: float
    boxes: Mapping[str, Rectangle]
    arrows: tuple[PlacedArrow, ...]
    frames: tuple[tuple[str, Rectangle], ...]


def lay_out(diagram: Diagram, widest: float = WIDEST) -> Layout:
    """Place a diagram: no box over another, no arrow through a box, in rows that make it about 1 to 2 times as wide as
    high.

    Parameters
    ----------
    diagram
        Boxes of different names, and arrows between them; loops may be among them.
    widest
        Width over height that more rows are to bring it under.
    """

    def badness(layout: Layout) -> float:
        aspect = layout.width / layout.height
        return max(0.0, math.log(aspect / widest), math.log(NARROWEST / aspect))

    if not diagram.boxes:
        return Layout(diagram, 2 * MARGIN + 1, MARGIN + HEAD, {}, (), ())
    strip = Row.of(diagram, [box.name for box in diagram.boxes])
    best = _stacked(diagram, [strip])
    if best.width / best.height > widest:
        columns = strip.columns()
        for count in range(2, min(MOST_ROWS, (len(columns) + 1) // 2) + 1):
            rows = _cut(diagram, columns, count)
            best = min(best, _stacked(diagram, [Row.of(diagram, r) for r in rows]), key=badness)
    elif best.width / best.height < NARROWEST:
        for steps in STAGGER:
            best = min(best, _stacked(diagram, [Row.of(diagram, strip.names, strip.later(steps))]), key=badness)
    return best


def _cut(diagram: Diagram, columns: list[list[str]], count: int) -> list[list[str]]:
    """Columns in so many rows: of about equal width, cut where few arrows are."""
    sizes = {box.name: box.width for box in diagram.boxes}
    widths = [max(sizes[name] for name in column) + LABEL_ROOM for column in columns]
    at = {name: i for i, column in enumerate(columns) for name in column}
    ends = [(at[a.start], at[a.end]) for a in diagram.arrows if a.start in at and a.end in at]
    crossing = [sum(min(e) < i <= max(e) for e in ends) / max(1, len(ends)) for i in range(len(columns) + 1)]
    wanted = sum(widths) / count
    # cost[k][i]: of the best way to put the columns before i in k rows
    cost: dict[tuple[int, int], tuple[float, int]] = {(0, 0): (0.0, 0)}
    for k in range(1, count + 1):
        for i in range(k, len(columns) - (count - k) + 1):
            options = (
                (cost[k - 1, j][0] + (sum(widths[j:i]) / wanted - 1) ** 2 + crossing[i], j)
                for j in range(k - 1, i)
                if (k - 1, j) in cost
            )
            cost[k, i] = min(options)
    cuts, i = [], len(columns)
    for k in range(count, 0, -1):
        j = cost[k, i][1]
        cuts.append([name for column in columns[j:i] for name in column])
        i = j
    return cuts[::-1]


def _stacked(diagram: Diagram, rows: Sequence[Row]) -> Layout:
    """Rows one under the other, and the arrows from row to row between them."""
    row_of = {name: i for i, row in enumerate(rows) for name in row.names}
    ways: dict[tuple[Bundle, int], Way] = {}
    for index, arrow in enumerate(diagram.arrows):
        first, last = row_of[arrow.start], row_of[arrow.end]
        if first != last:
            shared = bundle(diagram, index)
            leaving, entering = rows[first].leaving[shared].points[-1], rows[last].entering[index].points[0]
            ways.setdefault((shared, last), Way(first, last, leaving[1], entering[1]))
    plan = lanes(list(ways.values()), [(row.width, row.height) for row in rows], MARGIN + HEAD)
    routes = dict(zip(ways, plan.routes, strict=True))
    left = MARGIN + plan.left
    boxes: dict[str, Rectangle] = {}
    frames: list[tuple[str, Rectangle]] = []
    arrows: dict[int, PlacedArrow] = {}
    for row, top in zip(rows, plan.tops, strict=True):
        boxes |= {name: shifted(box, left, top) for name, box in row.boxes.items()}
        frames += [(branch, shifted(frame, left, top)) for branch, frame in row.frames]
        arrows |= {index: moved(way, left, top) for index, way in row.within.items()}
    labelled: set[Bundle] = set()
    for index, arrow in enumerate(diagram.arrows):
        if index in arrows:
            continue
        first, last = row_of[arrow.start], row_of[arrow.end]
        key = bundle(diagram, index)
        out = moved(rows[first].leaving[key], left, plan.tops[first])
        into = moved(rows[last].entering[index], left, plan.tops[last])
        between = [(x + left, y) for x, y in routes[key, last]]
        arrows[index] = PlacedArrow(joined(out.points, between, into.points), None if key in labelled else out.label)
        labelled.add(key)
    width = max((row.width for row in rows), default=0.0) + plan.left + plan.right + 2 * MARGIN
    width = max(width, text_width(diagram.title, NAME_SIZE) + 2 * MARGIN)
    return Layout(diagram, width, plan.bottom + MARGIN, boxes, tuple(arrows[i] for i in sorted(arrows)), tuple(frames))
