"""The file form of a flowgraph: ``Flowgraph.save``, ``Flowgraph.load``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from .block import Block
from .classes import name_of
from .document import DialEntry, EdgeEntry, ListenEntry
from .errors import FlowgraphFileError
from .graph import Edge, Flowgraph
from .keyfile import write_keys
from .reading import read
from .spec import CurveKeys
from .yaml_text import MAX_BYTES, Finding, dump


def load(path: Path) -> Flowgraph:
    """A flowgraph from its file; see `Flowgraph.load`."""
    graph, findings = check(path)
    if findings:
        raise FlowgraphFileError(str(path), findings)
    return graph


def check(path: Path) -> tuple[Flowgraph, list[Finding]]:
    """A flowgraph from its file, and everything that is wrong with it; use the graph only if that is nothing."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        return Flowgraph(), [Finding(0, f"cannot be read: {error.strerror or error}")]
    return read(data, path.parent)


def save(graph: Flowgraph, path: Path) -> None:
    """Write a flowgraph; see `Flowgraph.save`."""
    keys: dict[str, CurveKeys] = {}
    value = to_plain(graph, path, keys)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dump(value), encoding="utf-8")
    for name, pair in keys.items():
        write_keys(pair, path.parent / name)


def to_plain(graph: Flowgraph, path: Path, keys: dict[str, CurveKeys]) -> dict[str, Any]:
    """The document of a graph that is to be written to `path`; `keys` gets the key files that it names.

    Raises
    ------
    FlowgraphError
        If a block's class cannot be found from a file.
    """
    value: dict[str, Any] = {"semstream": 1, "name": graph.name, "seed": graph.seed}
    if graph.engine != "threads":
        value["engine"] = graph.engine
    value["blocks"] = {name: _block(graph, block, path.parent) for name, block in graph.blocks.items()}
    lists: dict[str, list[Any]] = {"edges": [], "listen": [], "dial": []}
    for edge in graph.edges:
        kind = "dial" if edge.sender is None else "listen" if edge.receiver is None else "edges"
        lists[kind].append(_edge(edge, path, keys))
    return value | {kind: entries for kind, entries in lists.items() if entries}


def _block(graph: Flowgraph, block: Block, folder: Path) -> dict[str, Any]:
    entry: dict[str, Any] = {"class": name_of(block, folder)}
    given = block.settings.model_fields_set
    if given:
        plain = json.loads(block.settings.model_dump_json(include=given))
        entry["settings"] = {name: _finite(plain[name], getattr(block.settings, name)) for name in plain}
    if graph.replicas[block.name] > 1:
        entry["replicas"] = graph.replicas[block.name]
    if graph.processes[block.name] != block.name:
        entry["process"] = graph.processes[block.name]
    return entry


def _finite(plain: Any, value: Any) -> Any:
    """JSON has infinity and NaN as text: as numbers again."""
    if isinstance(value, float) and not math.isfinite(value):
        return value
    if isinstance(plain, list) and isinstance(value, (list, tuple)):
        return [_finite(p, v) for p, v in zip(plain, value, strict=True)]
    if isinstance(plain, dict) and isinstance(value, dict):
        return {name: _finite(p, v) for (name, p), v in zip(plain.items(), value.values(), strict=True)}
    return plain


def _edge(edge: Edge, path: Path, keys: dict[str, CurveKeys]) -> Any:
    port = edge.receiver if edge.sender is None else edge.sender
    assert port is not None
    curve = None
    if edge.curve is not None:
        curve = f"{path.stem}.{port.block.name}.{port.name}.key"
        keys[curve] = edge.curve
    model: EdgeEntry | ListenEntry | DialEntry
    name = f"{port.block.name}.{port.name}"
    values: dict[str, Any] = {"endpoint": edge.endpoint, "curve": curve, "port": name}
    if edge.sender is not None and edge.receiver is not None:
        values = {"connect": edge.name, "policy": edge.policy, "credit": edge.credit, "depth": edge.depth}
        model = EdgeEntry.model_validate(values)
    elif edge.receiver is None:
        model = ListenEntry.model_validate(values | {"policy": edge.policy, "depth": edge.depth})
    else:
        seconds = float(edge.connect_timeout_s)
        model = DialEntry.model_validate(values | {"credit": edge.credit, "connect_timeout": seconds})
    entry = model.model_dump(exclude_defaults=True)
    return entry["connect"] if len(entry) == 1 else entry
