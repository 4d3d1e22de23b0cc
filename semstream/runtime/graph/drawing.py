"""A flowgraph as text that others draw: Mermaid, DOT."""

from __future__ import annotations

import re

from semstream.runtime.graph.graph import Graph


def mermaid(graph: Graph) -> str:
    """The graph in Mermaid, for Markdown pages."""
    lines = ["flowchart LR"]
    ids = _ids(graph)
    for name, block in graph.blocks.items():
        label = _label(graph, name).replace('"', "#quot;").replace("\n", "<br>")
        shape = ("([", "])") if block.is_source else ("[[", "]]") if not block.outputs else ("[", "]")
        lines.append(f'    {ids[name]}{shape[0]}"{label}"{shape[1]}')
    for start, end, label, remote in _edges(graph, ids):
        arrow = "-.->" if remote else "-->"
        lines.append(f'    {start} {arrow}|"{label}"| {end}')
    for number, endpoint in enumerate(_endpoints(graph)):
        lines.append(f'    e{number}{{{{"{endpoint}"}}}}')
    return "\n".join(lines) + "\n"


def dot(graph: Graph) -> str:
    """The graph in DOT, for Graphviz."""
    ids = _ids(graph)
    lines = [f"digraph {_quoted(graph.name)} {{", "    rankdir=LR;", "    node [shape=box, style=rounded];"]
    lines += [f"    {ids[name]} [label={_quoted(_label(graph, name))}];" for name in graph.blocks]
    lines += [f"    e{i} [label={_quoted(e)}, shape=hexagon];" for i, e in enumerate(_endpoints(graph))]
    for start, end, label, remote in _edges(graph, ids):
        style = ", style=dashed" if remote else ""
        lines.append(f"    {start} -> {end} [label={_quoted(label)}{style}];")
    return "\n".join([*lines, "}"]) + "\n"


def _ids(graph: Graph) -> dict[str, str]:
    return {name: f"b{number}" for number, name in enumerate(graph.blocks)}


def _endpoints(graph: Graph) -> list[str]:
    return list(dict.fromkeys(edge.endpoint for edge in graph.edges if edge.endpoint))


def _label(graph: Graph, name: str) -> str:
    replicas = f" ×{graph.replicas[name]}" if graph.replicas[name] > 1 else ""
    cls = type(graph.blocks[name]).__name__
    return f"{name}{replicas}\n{cls}" if re.sub(r"[\W_]", "", name).lower() != cls.lower() else f"{cls}{replicas}"


def _edges(graph: Graph, ids: dict[str, str]) -> list[tuple[str, str, str, bool]]:
    """(start, end, label, whether it leaves the graph) of each edge."""
    outside = {endpoint: f"e{number}" for number, endpoint in enumerate(_endpoints(graph))}
    found = []
    for edge in graph.edges:
        start = ids[edge.sender.block.name] if edge.sender else outside[edge.endpoint]
        end = ids[edge.receiver.block.name] if edge.receiver else outside[edge.endpoint]
        if edge.sender is not None:
            label = graph.type_of(edge.sender).name
        else:
            assert edge.receiver is not None
            label = edge.receiver.port.type.name
        label = "any" if label == "*" else label
        policy = f", {edge.policy}" if edge.policy != "block" else ""
        found.append((start, end, f"{label}{policy}", bool(edge.endpoint)))
    return found


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
