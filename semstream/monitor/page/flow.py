"""The flowgraph on the live page: the drawing of `semstream graph`, with live numbers in it."""

from __future__ import annotations

import math
from typing import Any

from semstream.drawing import Arrow, Box, Diagram, Layout, branches, lay_out, titled
from semstream.drawing.style import Style
from semstream.drawing.svg import Now, live_svg, svg
from semstream.monitor.page import style

DARK = Style(
    ground=style.PANEL, text=style.TEXT, dim=style.DIM, line="#56657a", border=style.BRANCHES[0], warning=style.WARN,
    fill=dict.fromkeys(("source", "between", "sink", "outside"), style.GROUND), branches=style.BRANCHES,
)  # fmt: skip
WIDEST_NOTE = "0000.0/s 0000.0 ms age 000000"
"""Room for the live numbers of a block: frames a second, work p50, age p50 in ms."""
WIDEST_LABEL = "q 000 −00000"
"""Room at an edge: frames that wait, frames dropped."""

WIDEST = 1.6
"""Width over height: rather tall than small."""


class FlowDrawing:
    """The flowgraph drawn: rates, work and age in boxes; frames that wait and drops at edges.

    The layout is made once for each flowgraph. Two pictures lie one over the other, so that only numbers are sent anew.
    """

    def __init__(self) -> None:
        self._shape: Any = None
        self._layout: Layout | None = None
        self._still = ""

    def parts(self, snapshot: dict[str, Any]) -> dict[str, str]:
        """The parts ``flow``, which stays, and ``numbers``, as HTML."""
        blocks = {name: block for name, block in snapshot["blocks"].items() if not is_probe(block)}
        edges = [edge for edge in snapshot["edges"] if edge["from"] in blocks and edge["to"] in blocks]
        shape = tuple(blocks), tuple((edge["from"], edge["to"]) for edge in edges)
        if shape != self._shape or self._layout is None:
            self._shape, self._layout = shape, lay_out(diagram(snapshot["name"], blocks, edges), WIDEST)
            self._still = _sized(svg(self._layout, DARK, title=False, numbered=True), self._layout)
        new = live_svg(self._layout, DARK, numbers(blocks, edges))
        return {"flow": self._still, "numbers": _sized(new, self._layout)}


def _sized(picture: str, layout: Layout) -> str:
    """A picture as wide as the panel, as far as its text stays readable: names of 8 to 11 pixels."""
    return f'<div style="min-width:{0.85 * layout.width:.0f}px;max-width:{1.25 * layout.width:.0f}px">{picture}</div>'


def diagram(title: str, blocks: dict[str, Any], edges: list[dict[str, Any]]) -> Diagram:
    """What is to be drawn of a snapshot's blocks and edges, with room for their numbers."""
    branch = branches(blocks, [(edge["from"], edge["to"]) for edge in edges])
    boxes = []
    for name, block in blocks.items():
        kind = "source" if not block["inputs"] else "between" if block["outputs"] else "sink"
        lines = titled(name, block["class"], block["replicas"])
        boxes.append(Box(name, (*lines, WIDEST_NOTE), kind, branch.get(name, "").removesuffix(".metrics")))
    arrows = []
    for edge in edges:
        policy = () if edge["policy"] == "block" else (edge["policy"],)
        arrows.append(Arrow(edge["from"], edge["to"], (WIDEST_LABEL, *policy)))
    return Diagram(title, tuple(boxes), tuple(arrows))


def numbers(blocks: dict[str, Any], edges: list[dict[str, Any]]) -> Now:
    """The numbers of a snapshot, and what is to be marked: the block that works longest, blocks and edges that lose."""
    busiest = max((_ms(block, "work", "mean") for block in blocks.values()), default=0.0)
    notes, borders, labels, warned = {}, {}, {}, []
    for name, block in blocks.items():
        counters = block["counters"]
        lost = sum(counters["skips"].values()) + sum(counters["bad"].values())
        age = _ms(block, "age", "p50")
        notes[name] = f"{block['rate']:.1f}/s {_ms(block, 'work', 'p50'):.1f} ms age {age:.0f}"
        slow = busiest > 0 and _ms(block, "work", "mean") == busiest
        if lost or slow:
            borders[name] = style.BAD if lost else style.WARN
    for index, edge in enumerate(edges):
        dropped = sum(edge["drops"].values())
        waiting = int(blocks[edge["from"]]["counters"]["queue"].get(edge["name"], 0))
        labels[index] = " ".join(filter(None, (f"q {waiting}" if waiting else "", f"−{dropped}" if dropped else "")))
        if dropped and edge["policy"] == "block":
            warned.append(index)
    return Now(notes, borders, labels, warned)


def is_probe(block: dict[str, Any]) -> bool:
    """Whether a block only shows things: it is left out of the drawing."""
    return block["class"] in ("Probe", "PictureProbe")


def _ms(block: dict[str, Any], what: str, percentile: str) -> float:
    value = float(block["counters"][what][percentile])
    return value if math.isfinite(value) else 0.0
