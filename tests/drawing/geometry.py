"""What is wrong with a layout, found by geometry."""

from __future__ import annotations

from itertools import combinations, pairwise

from semstream.drawing import Layout
from semstream.drawing.places import Rectangle, label_size

NEAR = 0.75
"""Points: what is closer than a line is wide counts as touching."""


def faults(layout: Layout) -> list[str]:
    """Boxes that overlap, arrows through boxes, loose ends, labels on others, what leaves the picture."""
    found = []
    boxes = layout.boxes
    if set(boxes) != {box.name for box in layout.diagram.boxes}:
        found.append("a box is missing")
    for (a, first), (b, second) in combinations(boxes.items(), 2):
        if overlap(first, second):
            found.append(f"{a} and {b} overlap")
    inside = (NEAR, NEAR, layout.width - 2 * NEAR, layout.height - 2 * NEAR)
    found += [f"{name} leaves the picture" for name, box in boxes.items() if not within(box, inside)]
    found += [f"the frame of {name} leaves the picture" for name, f in layout.frames if not within(f, inside)]
    labels = []
    for drawn, arrow in zip(layout.diagram.arrows, layout.arrows, strict=True):
        what = f"{drawn.start} -> {drawn.end}"
        if not all(within((*point, 0.0, 0.0), inside) for point in arrow.points):
            found.append(f"{what} leaves the picture")
        for name, end in ((drawn.start, arrow.points[0]), (drawn.end, arrow.points[-1])):
            if not on_border(end, boxes[name]):
                found.append(f"{what} does not end on the border of {name}")
        for name, box in boxes.items():
            if any(crosses(a, b, shrunk(box)) for a, b in pairwise(arrow.points)):
                found.append(f"{what} runs through {name}")
        if arrow.label is not None:
            width, height = label_size(drawn.label)
            labels.append((what, (arrow.label[0] - width / 2, arrow.label[1] - height / 2, width, height)))
    for what, label in labels:
        found += [f"the label of {what} lies on {name}" for name, box in boxes.items() if overlap(label, box)]
        if not within(label, inside):
            found.append(f"the label of {what} leaves the picture")
    found += [f"the labels of {a} and {b} overlap" for (a, x), (b, y) in combinations(labels, 2) if overlap(x, y)]
    return found


def overlap(a: Rectangle, b: Rectangle) -> bool:
    """Whether two rectangles share more than a border."""
    return (
        min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0]) > NEAR
        and min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1]) > NEAR
    )


def within(a: Rectangle, b: Rectangle) -> bool:
    """Whether `a` lies in `b`."""
    return a[0] >= b[0] and a[1] >= b[1] and a[0] + a[2] <= b[0] + b[2] and a[1] + a[3] <= b[1] + b[3]


def shrunk(box: Rectangle) -> Rectangle:
    """The inside of a box."""
    return box[0] + NEAR, box[1] + NEAR, box[2] - 2 * NEAR, box[3] - 2 * NEAR


def on_border(point: tuple[float, float], box: Rectangle) -> bool:
    """Whether a point lies on a box's border."""
    x, y = point[0] - box[0], point[1] - box[1]
    near = min(abs(x), abs(x - box[2]), abs(y), abs(y - box[3]))
    return near <= NEAR and -NEAR <= x <= box[2] + NEAR and -NEAR <= y <= box[3] + NEAR


def crosses(a: tuple[float, float], b: tuple[float, float], box: Rectangle) -> bool:
    """Whether a stretch of a line has a point in a box (Liang and Barsky's clipping)."""
    enter, leave = 0.0, 1.0
    for start, step, low, high in (
        (a[0], b[0] - a[0], box[0], box[0] + box[2]),
        (a[1], b[1] - a[1], box[1], box[1] + box[3]),
    ):
        if step == 0:
            if not low < start < high:
                return False
            continue
        first, second = sorted(((low - start) / step, (high - start) / step))
        enter, leave = max(enter, first), min(leave, second)
    return enter < leave
