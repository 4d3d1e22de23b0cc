"""Colours of a drawing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from semstream.drawing.layout import Layout


@dataclass(frozen=True)
class Style:
    """Colours, as #rrggbb; `fill` by the kind of a box, `branches` in turn."""

    ground: str
    text: str
    dim: str
    line: str
    border: str
    warning: str
    fill: Mapping[str, str]
    branches: tuple[str, ...]

    def branch(self, layout: Layout, name: str) -> str:
        """The colour of a branch: by its place in the flowgraph."""
        order = list(dict.fromkeys(box.branch for box in layout.diagram.boxes if box.branch))
        return self.branches[order.index(name) % len(self.branches)]


LIGHT = Style(
    ground="#ffffff", text="#1a202c", dim="#4a5568", line="#718096", border="#4a5568", warning="#b7791f",
    fill={"source": "#e3f1e6", "between": "#e9eff8", "sink": "#f6e9d9", "outside": "#eeeeee"},
    branches=("#2b6cb0", "#c05621", "#2f855a", "#97478f", "#975a16", "#2c7a7b"),
)  # fmt: skip
