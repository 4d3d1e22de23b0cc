"""The way of an arrow from row to row: out at the right end, through the gap above the other row, in at its left end.

        ┌──────────────┐
        │ row 0        ├──╮
        └──────────────┘  │   lanes at the right
    ╭─────────────────────╯   lanes in the gap
    │   ┌──────────────┐
    ╰──►│ row 1        │
        └──────────────┘

No box stands in a lane. Each way has a lane of its own wherever another runs beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from semstream.drawing.places import Point

LANE, GAP, CORNER, STEPS = 9.0, 16.0, 5.0, 10


@dataclass(frozen=True)
class Way:
    """From row `first`, at this height in it, to row `last`, at this height in it."""

    first: int
    last: int
    leaves_at: float
    enters_at: float


@dataclass(frozen=True)
class Plan:
    """Tops of the rows, the routes of the ways, and the space that the lanes take on both sides."""

    tops: list[float]
    bottom: float
    left: float
    right: float
    routes: list[list[Point]]


def lanes(ways: Sequence[Way], rows: Sequence[tuple[float, float]], top: float) -> Plan:
    """Stack rows and give every way its lanes.

    Parameters
    ----------
    ways
        What goes from row to row.
    rows
        (width, height) of each row.
    top
        Where the first row, or the lanes above it, begin.

    Returns
    -------
    Plan
        Routes begin at the right border of a row's own width and end at x = 0, the left border of the rows.
    """
    # The lowest way out of a row takes the innermost lane, and the upper one in the gap: so neighbours do not cross.
    order = sorted(range(len(ways)), key=lambda i: (abs(ways[i].last - ways[i].first), -ways[i].leaves_at))
    slot = {i: place for last in range(len(rows)) for place, i in enumerate(j for j in order if ways[j].last == last)}
    above = [sum(way.last == row for way in ways) for row in range(len(rows))]
    tops, gaps, y = [], [], top
    for row, (_, height) in enumerate(rows):
        gap = above[row] * LANE + (GAP if above[row] else GAP / 2 if row else 0.0)
        gaps.append(y + (GAP / 2 if row else 0.0))
        tops.append(y + gap)
        y = tops[-1] + height
    across = {i: gaps[ways[i].last] + slot[i] * LANE for i in range(len(ways))}
    outward = {i: (tops[w.first] + w.leaves_at, across[i]) for i, w in enumerate(ways)}
    inward = {i: (across[i], tops[w.last] + w.enters_at) for i, w in enumerate(ways)}
    right, left = _numbered(order, outward), _numbered(sorted(order, key=lambda i: -across[i]), inward)
    widest = max((width for width, _ in rows), default=0.0)
    routes = []
    for i, way in enumerate(ways):
        x, back = widest + (right[i] + 1) * LANE, -(left[i] + 1) * LANE
        (leave, turn), enter = outward[i], inward[i][1]
        routes.append([(rows[way.first][0], leave), (x, leave), (x, turn), (back, turn), (back, enter), (0.0, enter)])
    space = [(max(numbers.values()) + 2) * LANE if numbers else 0.0 for numbers in (left, right)]
    return Plan(tops, y, space[0], space[1], routes)


def _numbered(order: Sequence[int], spans: dict[int, tuple[float, float]]) -> dict[int, int]:
    """The innermost lane of each way in which no other runs at the same height."""
    taken: list[list[tuple[float, float]]] = []
    found = {}
    for i in order:
        low, high = min(spans[i]) - LANE / 2, max(spans[i]) + LANE / 2
        free = (n for n, lane in enumerate(taken) if all(high <= a or b <= low for a, b in lane))
        found[i] = place = next(free, len(taken))
        if place == len(taken):
            taken.append([])
        taken[place].append((low, high))
    return found


def sampled(spline: Sequence[Point]) -> tuple[Point, ...]:
    """A chain of cubic Bézier curves (1 + 3·n control points) as a polyline."""
    points = [spline[0]]
    for i in range(0, len(spline) - 3, 3):
        a, b, c, d = spline[i : i + 4]
        for step in range(1, STEPS + 1):
            t = step / STEPS
            weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
            points.append((
                sum(w * p[0] for w, p in zip(weights, (a, b, c, d), strict=True)),
                sum(w * p[1] for w, p in zip(weights, (a, b, c, d), strict=True)),
            ))  # fmt: skip
    return tuple(points)


def joined(out: Sequence[Point], between: Sequence[Point], into: Sequence[Point]) -> tuple[Point, ...]:
    """The whole way: out of the box, along the lanes with round corners, into the other box."""
    return (*out, *_rounded([out[-1], *between, into[0]]), *into)


def _rounded(corners: Sequence[Point]) -> list[Point]:
    points = [corners[0]]
    for before, here, after in zip(corners, corners[1:], corners[2:], strict=False):
        lengths = math.dist(before, here), math.dist(here, after)
        if min(lengths) < 0.5:
            points.append(here)
            continue
        reach = min(CORNER, *(length / 2 for length in lengths))
        a, b = (
            (here[0] + (p[0] - here[0]) * reach / n, here[1] + (p[1] - here[1]) * reach / n)
            for p, n in zip((before, after), lengths, strict=True)
        )
        for step in range(5):
            t = step / 4
            u = 1 - t
            points.append((
                u * u * a[0] + 2 * u * t * here[0] + t * t * b[0], u * u * a[1] + 2 * u * t * here[1] + t * t * b[1]
            ))  # fmt: skip
    return [*points, corners[-1]]
