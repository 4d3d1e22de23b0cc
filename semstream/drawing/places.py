"""Points, rectangles and ways: what a drawing is placed by. Lengths are in points of 1/72 inch; y grows downwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from semstream.drawing.diagram import LABEL_SIZE, LINE_HEIGHT, text_width

Point = tuple[float, float]
Rectangle = tuple[float, float, float, float]
"""x and y of the upper left corner, width, height."""


@dataclass(frozen=True)
class PlacedArrow:
    """An arrow's way as a polyline, from the border of one box to that of another; where its label's middle is."""

    points: tuple[Point, ...]
    label: Point | None = None


def shifted(rectangle: Rectangle, dx: float, dy: float) -> Rectangle:
    x, y, width, height = rectangle
    return x + dx, y + dy, width, height


def moved(way: PlacedArrow, dx: float, dy: float) -> PlacedArrow:
    label = (way.label[0] + dx, way.label[1] + dy) if way.label else None
    return PlacedArrow(tuple((x + dx, y + dy) for x, y in way.points), label)


def label_size(lines: Sequence[str]) -> tuple[float, float]:
    """Width and height of an arrow's label."""
    return max(text_width(line, LABEL_SIZE) for line in lines) + 4, len(lines) * LABEL_SIZE * LINE_HEIGHT + 2
