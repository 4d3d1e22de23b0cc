"""Where everything in a drawing stands: layered by Graphviz (Sugiyama's method), in rows where it would be a strip.

Graphviz lays out each row: columns, order, smooth edges around the boxes. Arrows from row to row leave a row at its
right end and enter the other at its left end, through lanes where no box stands (`semstream.drawing.lanes`). All
lengths are in points; y grows downwards.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from semstream.drawing.diagram import LABEL_SIZE, LINE_HEIGHT, NAME_SIZE, Diagram, text_width
from semstream.drawing.lanes import Point, Way, joined, lanes

MARGIN, HEAD = 14.0, 26.0
WIDEST, NARROWEST = 2.3, 0.9
MOST_ROWS = 12
STAGGER = (2, 3, 4, 6)
Rectangle = tuple[float, float, float, float]
"""x and y of the upper left corner, width, height."""


@dataclass(frozen=True)
class PlacedArrow:
    """An arrow's way as a polyline, from the border of one box to that of another; where its label's middle is."""

    points: tuple[Point, ...]
    label: Point | None = None


@dataclass(frozen=True)
class Layout:
    """A diagram with every place in it: boxes by name, arrows in the diagram's order, frames of its branches."""

    diagram: Diagram
    width: float
    height: float
    boxes: Mapping[str, Rectangle]
    arrows: tuple[PlacedArrow, ...]
    frames: tuple[tuple[str, Rectangle], ...]


def lay_out(diagram: Diagram) -> Layout:
    """Place a diagram: no box over another, no arrow through a box, in rows that make it about 1 to 2 times as wide as
    high.

    Parameters
    ----------
    diagram
        Boxes of different names, and arrows between them; loops may be among them.
    """
    if not diagram.boxes:
        return Layout(diagram, 2 * MARGIN + 1, MARGIN + HEAD, {}, (), ())
    strip = _Row.of(diagram, [box.name for box in diagram.boxes])
    best = _stacked(diagram, [strip])
    if best.width / best.height > WIDEST:
        columns = strip.columns()
        for count in range(2, min(MOST_ROWS, (len(columns) + 1) // 2) + 1):
            rows = _cut(diagram, columns, count)
            best = min(best, _stacked(diagram, [_Row.of(diagram, r) for r in rows]), key=_badness)
    elif best.width / best.height < NARROWEST:
        for steps in STAGGER:
            best = min(best, _stacked(diagram, [_Row.of(diagram, strip.names, strip.later(steps))]), key=_badness)
    return best


def _badness(layout: Layout) -> float:
    """How far a layout is from the wanted proportions."""
    aspect = layout.width / layout.height
    return max(0.0, math.log(aspect / WIDEST), math.log(NARROWEST / aspect))


@dataclass
class _Row:
    """A row of boxes as Graphviz has laid it out, by itself; its upper left corner is (0, 0)."""

    names: list[str]
    width: float
    height: float
    boxes: dict[str, Rectangle]
    within: dict[int, PlacedArrow]
    leaving: dict[Any, PlacedArrow]
    entering: dict[int, PlacedArrow]
    frames: list[tuple[str, Rectangle]]

    @staticmethod
    def of(diagram: Diagram, names: Sequence[str], later: Mapping[str, int] | None = None) -> _Row:
        """Lay out the boxes of these names; `later` puts a box so many columns further right."""
        return _lay_out_row(diagram, list(names), later or {})

    def columns(self) -> list[list[str]]:
        """Names by column, from the left."""
        middle = {name: round(x + width / 2) for name, (x, _, width, _) in self.boxes.items()}
        return [[n for n in self.names if middle[n] == x] for x in sorted(set(middle.values()))]

    def later(self, steps: int) -> dict[str, int]:
        """Boxes of columns that are too full, spread over so many columns each."""
        found = {}
        for number, column in enumerate(self.columns()):
            if len(column) > steps:
                below = sorted(column, key=lambda name: self.boxes[name][1])
                found |= {name: i % steps - (steps if number == 0 else 0) for i, name in enumerate(below)}
        return found


def bundle(diagram: Diagram, index: int) -> tuple[str, tuple[str, ...], bool]:
    """Arrows of one bundle share their way from row to row: the same sender, the same label."""
    arrow = diagram.arrows[index]
    return arrow.start, arrow.label, arrow.dashed


def _lay_out_row(diagram: Diagram, names: list[str], later: Mapping[str, int]) -> _Row:
    from pygraphviz import AGraph

    inside = set(names)
    graph: Any = AGraph(strict=False, directed=True, rankdir="LR", nodesep=0.12 if later else 0.3, ranksep=1.0 if later else 0.4, splines="spline",
                        margin=0, pad=0)  # fmt: skip
    graph.node_attr.update(shape="box", fixedsize="true", label="", margin=0)
    graph.edge_attr.update(tailport="e", headport="w", arrowhead="none", fontsize=LABEL_SIZE)
    ids = {name: f"b{i}" for i, name in enumerate(names)}
    for box in diagram.boxes:
        if box.name in inside:
            graph.add_node(ids[box.name], width=box.width / 72, height=box.height / 72)
    groups: dict[str, list[str]] = {}
    for box in diagram.boxes:
        if box.name in inside and box.branch:
            groups.setdefault(box.branch, []).append(ids[box.name])
    for number, (branch, members) in enumerate(groups.items()):
        wide = text_width(branch, LABEL_SIZE) / 72
        graph.add_subgraph(members, name=f"cluster{number}", margin=8, fixedsize="true",
                           label=_space(wide, LABEL_SIZE * LINE_HEIGHT / 72), labeljust="l")  # fmt: skip
    exits, entries = {}, {}
    for index, arrow in enumerate(diagram.arrows):
        label = _label(arrow.label)
        if arrow.start in inside and arrow.end in inside:
            length = max(1, 1 + later.get(arrow.end, 0) - later.get(arrow.start, 0))
            graph.add_edge(ids[arrow.start], ids[arrow.end], key=f"w{index}", minlen=length, label=label)
        elif arrow.start in inside and (key := bundle(diagram, index)) not in exits:
            exits[key] = node = f"x{len(exits)}"
            graph.add_node(node, shape="point", width=0.01, height=0.01)
            graph.add_edge(ids[arrow.start], node, key=node, label=label, headport="c")
        elif arrow.end in inside and arrow.start not in inside:
            key = bundle(diagram, index)
            if key not in entries:
                entries[key] = f"n{len(entries)}"
                graph.add_node(entries[key], shape="point", width=0.01, height=0.01)
            graph.add_edge(entries[key], ids[arrow.end], key=f"n{index}", tailport="c")
    for name, rank, nodes in (("first", "source", entries), ("last", "sink", exits)):
        if nodes:
            graph.add_subgraph(list(nodes.values()), name=name, rank=rank)
    graph.layout(prog="dot")
    return _read(diagram, graph, names, ids, exits)


def _space(width: float, height: float) -> str:
    """A label of this size in inches, without letters: the painter writes them."""
    return f'<<table border="0" cellspacing="0" cellpadding="0" fixedsize="true" width="{math.ceil(width * 72)}" ' \
           f'height="{math.ceil(height * 72)}"><tr><td></td></tr></table>>'  # fmt: skip


def _label(lines: tuple[str, ...]) -> str:
    if not any(lines):
        return ""
    return _space(label_size(lines)[0] / 72, label_size(lines)[1] / 72)


def label_size(lines: Sequence[str]) -> tuple[float, float]:
    """Width and height of an arrow's label."""
    return max(text_width(line, LABEL_SIZE) for line in lines) + 4, len(lines) * LABEL_SIZE * LINE_HEIGHT + 2


def _read(diagram: Diagram, graph: Any, names: list[str], ids: dict[str, str], exits: dict[Any, str]) -> _Row:
    """A row out of Graphviz's answer, whose y grows upwards."""
    from semstream.drawing.lanes import sampled

    boxes: dict[str, Rectangle] = {}
    sizes = {box.name: (box.width, box.height) for box in diagram.boxes}
    for name in names:
        x, y = _numbers(graph.get_node(ids[name]).attr["pos"])
        width, height = sizes[name]
        boxes[name] = (x - width / 2, -y - height / 2, width, height)
    frames: list[tuple[str, Rectangle]] = []
    order = list(dict.fromkeys(box.branch for box in diagram.boxes if box.name in boxes and box.branch))
    for number, branch in enumerate(order):
        left, bottom, right, top = _numbers(graph.get_subgraph(f"cluster{number}").graph_attr["bb"])
        frames.append((branch, (left, -top, right - left, top - bottom)))
    ways: dict[str, PlacedArrow] = {}
    by_id = {node: name for name, node in ids.items()}
    for edge in graph.edges_iter():
        spline = [(float(x), -float(y)) for x, y in (p.split(",") for p in edge.attr["pos"].split())]
        # Graphviz is a point off where a box is narrower than its column.
        start, end = (by_id.get(str(node)) for node in edge)
        if start is not None:
            x, y, width, height = boxes[start]
            spline[0] = (x + width, y + height / 2)
        if end is not None:
            x, y, width, height = boxes[end]
            spline[-1] = (x, y + height / 2)
        label = edge.attr["lp"]
        x, y = _numbers(label) if label else (0.0, 0.0)
        ways[edge.key] = PlacedArrow(sampled(spline), (x, -y) if label else None)
    within = {int(key[1:]): way for key, way in ways.items() if key[0] == "w"}
    entering = {int(key[1:]): way for key, way in ways.items() if key[0] == "n"}
    leaving = {key: ways[node] for key, node in exits.items()}
    return _fitted(_Row(names, 0.0, 0.0, boxes, within, leaving, entering, frames), diagram)


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _fitted(row: _Row, diagram: Diagram) -> _Row:
    """The row moved to (0, 0), as large as all that is in it."""
    corners = [(x, y) for x, y, _, _ in row.boxes.values()] + [(x, y) for _, (x, y, _, _) in row.frames]
    corners += [(x + w, y + h) for x, y, w, h in row.boxes.values()] + [(x + w, y + h) for _, (x, y, w, h) in row.frames]
    for index, way in [*row.within.items(), *row.entering.items()]:
        corners += [*way.points, *_label_corners(diagram.arrows[index].label, way.label)]
    for (_, label, _), way in row.leaving.items():
        corners += [*way.points, *_label_corners(label, way.label)]
    left, top = min(x for x, _ in corners), min(y for _, y in corners)
    width, height = max(x for x, _ in corners) - left, max(y for _, y in corners) - top

    return _Row(
        row.names, width, height, {name: _shifted(box, -left, -top) for name, box in row.boxes.items()},
        {i: _moved(way, -left, -top) for i, way in row.within.items()},
        {key: _moved(way, -left, -top) for key, way in row.leaving.items()},
        {i: _moved(way, -left, -top) for i, way in row.entering.items()},
        [(name, _shifted(frame, -left, -top)) for name, frame in row.frames],
    )  # fmt: skip


def _label_corners(lines: tuple[str, ...], at: Point | None) -> list[Point]:
    if at is None:
        return []
    width, height = label_size(lines)
    return [(at[0] - width / 2, at[1] - height / 2), (at[0] + width / 2, at[1] + height / 2)]


def _shifted(rectangle: Rectangle, dx: float, dy: float) -> Rectangle:
    x, y, width, height = rectangle
    return x + dx, y + dy, width, height


def _moved(way: PlacedArrow, dx: float, dy: float) -> PlacedArrow:
    label = (way.label[0] + dx, way.label[1] + dy) if way.label else None
    return PlacedArrow(tuple((x + dx, y + dy) for x, y in way.points), label)


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


LABEL_ROOM = 60.0
"""Points between two columns, about."""


def _stacked(diagram: Diagram, rows: Sequence[_Row]) -> Layout:
    """Rows one under the other, and the arrows from row to row between them."""
    row_of = {name: i for i, row in enumerate(rows) for name in row.names}
    ways: dict[Any, Way] = {}
    for index, arrow in enumerate(diagram.arrows):
        if arrow.start in row_of and arrow.end in row_of and row_of[arrow.start] != row_of[arrow.end]:
            key = (*bundle(diagram, index), row_of[arrow.end])
            leaving = rows[row_of[arrow.start]].leaving[key[:3]].points[-1]
            entering = rows[row_of[arrow.end]].entering[index].points[0]
            ways.setdefault(key, Way(row_of[arrow.start], row_of[arrow.end], leaving[1], entering[1]))
    plan = lanes(list(ways.values()), [(row.width, row.height) for row in rows], MARGIN + HEAD)
    routes = dict(zip(ways, plan.routes, strict=True))
    left = MARGIN + plan.left
    boxes: dict[str, Rectangle] = {}
    frames: list[tuple[str, Rectangle]] = []
    arrows: dict[int, PlacedArrow] = {}
    for row, top in zip(rows, plan.tops, strict=True):
        boxes |= {name: _shifted(box, left, top) for name, box in row.boxes.items()}
        frames += [(branch, _shifted(frame, left, top)) for branch, frame in row.frames]
        arrows |= {index: _moved(way, left, top) for index, way in row.within.items()}
    labelled = set()
    for index, arrow in enumerate(diagram.arrows):
        if index in arrows or arrow.start not in row_of or arrow.end not in row_of:
            continue
        first, last = row_of[arrow.start], row_of[arrow.end]
        key = bundle(diagram, index)
        out = _moved(rows[first].leaving[key], left, plan.tops[first])
        into = _moved(rows[last].entering[index], left, plan.tops[last])
        between = [(x + left, y) for x, y in routes[(*key, last)]]
        arrows[index] = PlacedArrow(joined(out.points, between, into.points), None if key in labelled else out.label)
        labelled.add(key)
    width = max((row.width for row in rows), default=0.0) + plan.left + plan.right + 2 * MARGIN
    width = max(width, text_width(diagram.title, NAME_SIZE) + 2 * MARGIN)
    return Layout(diagram, width, plan.bottom + MARGIN, boxes, tuple(arrows[i] for i in sorted(arrows)), tuple(frames))
