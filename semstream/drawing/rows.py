"""A row of a drawing, laid out by Graphviz: columns, order, smooth edges around the boxes (Sugiyama's method)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from semstream.drawing.diagram import LABEL_SIZE, LINE_HEIGHT, Diagram, text_width
from semstream.drawing.lanes import sampled
from semstream.drawing.loops import around, room
from semstream.drawing.places import PlacedArrow, Point, Rectangle, label_size, moved, shifted

Bundle = tuple[str, tuple[str, ...], bool]
"""Sender, label and kind of arrows that share their way from row to row."""


@dataclass
class Row:
    """A row of boxes as Graphviz has laid it out, by itself; its upper left corner is (0, 0)."""

    names: list[str]
    width: float
    height: float
    boxes: dict[str, Rectangle]
    within: dict[int, PlacedArrow]
    leaving: dict[Bundle, PlacedArrow]
    entering: dict[int, PlacedArrow]
    frames: list[tuple[str, Rectangle]]

    @staticmethod
    def of(diagram: Diagram, names: Sequence[str], later: Mapping[str, int] | None = None) -> Row:
        """Lay out the boxes of these names; `later` puts a box so many columns further right."""
        return _lay_out_row(diagram, list(names), later or {})

    def columns(self) -> list[list[str]]:
        """Names by column, from the left."""
        middle = {name: round(x + width / 2) for name, (x, _, width, _) in self.boxes.items()}
        return [[n for n in self.names if middle[n] == x] for x in sorted(set(middle.values()))]

    def later(self, steps: int) -> dict[str, int]:
        """Boxes of columns that are too full, spread over so many columns each."""
        found: dict[str, int] = {}
        for number, column in enumerate(self.columns()):
            if len(column) > steps:
                below = sorted(column, key=lambda name: self.boxes[name][1])
                found |= {name: i % steps - (steps if number == 0 else 0) for i, name in enumerate(below)}
        return found


def bundle(diagram: Diagram, index: int) -> Bundle:
    """The bundle of an arrow."""
    arrow = diagram.arrows[index]
    return arrow.start, arrow.label, arrow.dashed


def _lay_out_row(diagram: Diagram, names: list[str], later: Mapping[str, int]) -> Row:
    from pygraphviz import AGraph

    inside = set(names)
    between, beside = (0.12, 1.0) if later else (0.3, 0.4)  # inches: boxes of a column, columns (wide beside a fan)
    graph: Any = AGraph(strict=False, directed=True, rankdir="LR", nodesep=between, ranksep=beside, margin=0, pad=0)
    graph.node_attr.update(shape="box", fixedsize="true", label="", margin=0)
    graph.edge_attr.update(tailport="e", headport="w", arrowhead="none", fontsize=LABEL_SIZE)
    ids = {name: f"b{i}" for i, name in enumerate(names)}
    for box in diagram.boxes:
        if box.name in inside:
            wide, high = room(box, [arrow.label for arrow in diagram.arrows if arrow.start == arrow.end == box.name])
            graph.add_node(ids[box.name], width=wide / 72, height=high / 72)
    groups: dict[str, list[str]] = {}
    for box in diagram.boxes:
        if box.name in inside and box.branch:
            groups.setdefault(box.branch, []).append(ids[box.name])
    for number, (branch, members) in enumerate(groups.items()):
        wide = text_width(branch, LABEL_SIZE) / 72
        graph.add_subgraph(members, name=f"cluster{number}", margin=8, fixedsize="true",
                           label=_space(wide, LABEL_SIZE * LINE_HEIGHT / 72), labeljust="l")  # fmt: skip
    exits: dict[Bundle, str] = {}
    entries: dict[Bundle, str] = {}
    for index, arrow in enumerate(diagram.arrows):
        label = _label(arrow.label)
        if arrow.start == arrow.end:  # drawn around the box, in the room that its node has
            continue
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


def _read(diagram: Diagram, graph: Any, names: list[str], ids: dict[str, str], exits: dict[Bundle, str]) -> Row:
    """A row out of Graphviz's answer, whose y grows upwards."""
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
    for name, box in boxes.items():
        own = {i: arrow.label for i, arrow in enumerate(diagram.arrows) if arrow.start == arrow.end == name}
        within |= zip(own, around(box, list(own.values())), strict=True)
    entering = {int(key[1:]): way for key, way in ways.items() if key[0] == "n"}
    leaving = {key: ways[node] for key, node in exits.items()}
    return _fitted(Row(names, 0.0, 0.0, boxes, within, leaving, entering, frames), diagram)


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def _fitted(row: Row, diagram: Diagram) -> Row:
    """The row moved to (0, 0), as large as all that is in it."""
    areas = [*row.boxes.values(), *(frame for _, frame in row.frames)]
    corners = [corner for x, y, w, h in areas for corner in ((x, y), (x + w, y + h))]
    for index, way in [*row.within.items(), *row.entering.items()]:
        corners += [*way.points, *_label_corners(diagram.arrows[index].label, way.label)]
    for (_, label, _), way in row.leaving.items():
        corners += [*way.points, *_label_corners(label, way.label)]
    left, top = min(x for x, _ in corners), min(y for _, y in corners)
    width, height = max(x for x, _ in corners) - left, max(y for _, y in corners) - top

    return Row(
        row.names, width, height, {name: shifted(box, -left, -top) for name, box in row.boxes.items()},
        {i: moved(way, -left, -top) for i, way in row.within.items()},
        {key: moved(way, -left, -top) for key, way in row.leaving.items()},
        {i: moved(way, -left, -top) for i, way in row.entering.items()},
        [(name, shifted(frame, -left, -top)) for name, frame in row.frames],
    )  # fmt: skip


def _label_corners(lines: tuple[str, ...], at: Point | None) -> list[Point]:
    if at is None:
        return []
    width, height = label_size(lines)
    return [(at[0] - width / 2, at[1] - height / 2), (at[0] + width / 2, at[1] + height / 2)]
