"""A flowgraph as a picture: what `semstream.drawing` is to lay out and paint."""

from __future__ import annotations

from semstream.drawing import Arrow, Box, Diagram, branches, lay_out, titled
from semstream.runtime import Flowgraph


def picture(graph: Flowgraph, form: str) -> bytes:
    """The graph as a file: ``png``, ``svg`` or ``pdf``."""
    layout = lay_out(diagram(graph))
    if form == "svg":
        from semstream.drawing.svg import svg

        return svg(layout).encode()
    from semstream.drawing.figure import painted

    return painted(layout, "pdf" if form == "pdf" else "png")


def diagram(graph: Flowgraph) -> Diagram:
    """Blocks with their names and classes, endpoints of other flowgraphs, edges with what they carry and how."""
    ends = [
        (e.sender.block.name if e.sender else e.endpoint, e.receiver.block.name if e.receiver else e.endpoint)
        for e in graph.edges
    ]
    branch = branches(graph.blocks, ends)
    boxes = []
    for name, block in graph.blocks.items():
        lines = titled(name, type(block).__name__, graph.replicas[name])
        kind = "source" if block.is_source else "between" if block.outputs else "sink"
        boxes.append(Box(name, lines, kind, _title(graph, branch.get(name, ""))))
    outside = dict.fromkeys(edge.endpoint for edge in graph.edges if edge.endpoint)
    boxes += [Box(endpoint, (endpoint,), "outside") for endpoint in outside]
    arrows = []
    for edge, (start, end) in zip(graph.edges, ends, strict=True):
        port = edge.receiver.port.type if edge.sender is None and edge.receiver else None
        carried = port or (graph.type_of(edge.sender) if edge.sender else None)
        label = [carried.name] if carried and not carried.is_any else []
        label += [edge.policy] if edge.policy != "block" else []
        arrows.append(Arrow(start, end, tuple(label), dashed=bool(edge.endpoint)))
    return Diagram(graph.name, tuple(boxes), tuple(arrows))


def _title(graph: Flowgraph, sink: str) -> str:
    """The title of the branch that ends in a sink."""
    return (getattr(graph.blocks[sink].settings, "branch", "") or sink) if sink else ""
