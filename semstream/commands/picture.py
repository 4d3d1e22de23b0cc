"""A flowgraph as a picture, laid out in layers as the live page lays it out."""

from __future__ import annotations

import io
from typing import Any

from semstream.monitor.layered import positions
from semstream.runtime import Flowgraph

COLUMN, ROW = 2.6, 1.1
"""Distances of blocks, in inches."""
FILL = {"source": "#e3f1e6", "sink": "#f6e9d9", "between": "#e5edf8", "outside": "#eeeeee"}


def png(graph: Flowgraph) -> bytes:
    """The graph as a PNG file."""
    from matplotlib.figure import Figure

    names, edges = _nodes_and_edges(graph)
    places = {n: (x * COLUMN, y * ROW) for n, (x, y) in positions(names, [(a, b) for a, b, _ in edges]).items()}
    xs, ys = [x for x, _ in places.values()], [y for _, y in places.values()]
    width, height = max(xs) - min(xs) + COLUMN, max(ys) - min(ys) + 2 * ROW
    figure = Figure(figsize=(width, height), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(min(xs) - COLUMN / 2, max(xs) + COLUMN / 2), ylim=(min(ys) - ROW, max(ys) + ROW))
    for start, end, label in edges:
        _arrow(axes, places, start, end, label)
    for name, (label, kind) in names.items():
        box = {"boxstyle": "round,pad=0.5", "facecolor": FILL[kind], "edgecolor": "#4a5568"}
        axes.text(*places[name], label, ha="center", va="center", fontsize=8, bbox=box, zorder=3)
    axes.set_title(graph.name, y=0.93, fontsize=9, color="#4a5568")
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _nodes_and_edges(graph: Flowgraph) -> tuple[dict[str, tuple[str, str]], list[tuple[str, str, str]]]:
    names: dict[str, tuple[str, str]] = {}
    for name, block in graph.blocks.items():
        kind = "source" if block.is_source else "between" if block.outputs else "sink"
        times = f" ×{graph.replicas[name]}" if graph.replicas[name] > 1 else ""
        names[name] = (f"{name}{times}\n{type(block).__name__}", kind)
    edges = []
    for edge in graph.edges:
        if edge.endpoint:
            names[edge.endpoint] = (edge.endpoint, "outside")
        start = edge.sender.block.name if edge.sender else edge.endpoint
        end = edge.receiver.block.name if edge.receiver else edge.endpoint
        label = graph.type_of(edge.sender).name if edge.sender else ""
        edges.append((start, end, f"{'' if label == '*' else label}{_policy(edge.policy)}"))
    return names, edges


def _policy(policy: str) -> str:
    return "" if policy == "block" else f"\n{policy}"


def _arrow(axes: Any, places: dict[str, tuple[float, float]], start: str, end: str, label: str) -> None:
    (x0, y0), (x1, y1) = places[start], places[end]
    # What skips a column bends around the blocks in between.
    bend = 0.0 if x1 - x0 <= COLUMN * 1.01 else -0.25 if y0 <= y1 else 0.25
    style = f"arc3,rad={bend}"
    arrow = {"arrowstyle": "-|>", "color": "#718096", "shrinkA": 34, "shrinkB": 38, "connectionstyle": style}
    axes.annotate("", xy=(x1, y1), xytext=(x0, y0), arrowprops=arrow, zorder=1)
    lift = -bend * (x1 - x0) / 2
    axes.text(
        (x0 + x1) / 2, (y0 + y1) / 2 + lift, label, ha="center", va="bottom", fontsize=6, color="#4a5568", zorder=2
    )
