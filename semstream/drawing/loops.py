"""Arrows from a box to itself: they run over it, one above another, and its node is as large as they need.

Graphviz, given such an edge, at times draws it through the box or lays its label on it.
"""

from __future__ import annotations

from collections.abc import Sequence

from semstream.drawing.diagram import Box
from semstream.drawing.places import PlacedArrow, Rectangle, label_size

STEP = 6.0
"""Points between a box and its first loop, a loop and the label above it, a label and the next loop."""


def room(box: Box, labels: Sequence[tuple[str, ...]]) -> tuple[float, float]:
    """Width and height in points of a box with loops of these labels around it, the box in the middle."""
    if not labels:
        return box.width, box.height
    widest = max(label_size(lines)[0] if any(lines) else 0.0 for lines in labels)
    above = sum(_height(lines) for lines in labels)
    return max(box.width + 2 * STEP * len(labels), widest), box.height + 2 * above


def around(box: Rectangle, labels: Sequence[tuple[str, ...]]) -> list[PlacedArrow]:
    """A way for each loop: from the right border over the box to the left one, its label above it."""
    x, y, width, height = box
    middle, over = y + height / 2, y
    ways = []
    for number, lines in enumerate(labels, 1):
        left, right, top = x - number * STEP, x + width + number * STEP, over - STEP
        over -= _height(lines)
        points = (x + width, middle), (right, middle), (right, top), (left, top), (left, middle), (x, middle)
        ways.append(PlacedArrow(points, (x + width / 2, (over + top) / 2) if any(lines) else None))
    return ways


def _height(lines: tuple[str, ...]) -> float:
    return STEP + (label_size(lines)[1] if any(lines) else 0.0)
