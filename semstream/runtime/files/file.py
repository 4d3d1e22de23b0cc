"""The file form of a flowgraph: ``Flowgraph.save``, ``Flowgraph.load``."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any, TypeVar

from semstream.runtime.block.block import Block
from semstream.runtime.errors import Finding, FlowgraphFileError
from semstream.runtime.files.classes import name_of
from semstream.runtime.files.document import DialEntry, EdgeEntry, HostEntry, ListenEntry
from semstream.runtime.files.keyfile import write_keys
from semstream.runtime.files.reading import read
from semstream.runtime.files.yaml_text import MAX_BYTES, dump
from semstream.runtime.graph.edge import Edge
from semstream.runtime.graph.endpoints import CurveKeys, Host
from semstream.runtime.graph.graph import Graph
from semstream.runtime.graph.guard import RESTART_LIMIT, RING_FRAMES

G = TypeVar("G", bound=Graph)


def load(path: Path, kind: type[G]) -> G:
    """A graph of that kind from its file; see `Flowgraph.load`."""
    graph, findings = check(path, kind)
    if findings:
        raise FlowgraphFileError(str(path), findings)
    return graph


def check(path: Path, kind: type[G]) -> tuple[G, list[Finding]]:
    """A flowgraph from its file, and everything that is wrong with it; use the graph only if that is nothing."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        return kind(), [Finding(0, f"cannot be read: {error.strerror or error}")]
    return read(data, path.parent, kind)


def save(graph: Graph, path: Path) -> None:
    """Write a flowgraph; see `Flowgraph.save`."""
    keys: dict[str, CurveKeys] = {}
    value = to_plain(graph, path, keys)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dump(value), encoding="utf-8")
    for name, pair in keys.items():
        write_keys(pair, path.parent / name)


def to_plain(graph: Graph, path: Path, keys: dict[str, CurveKeys]) -> dict[str, Any]:
    """The document of a graph that is to be written to `path`; `keys` gets the key files that it names.

    Raises
    ------
    FlowgraphError
        If a block's class cannot be found from a file.
    """
    value: dict[str, Any] = {"semstream": 1, "name": graph.name, "seed": graph.seed}
    if graph.engine != "threads":
        value["engine"] = graph.engine
    if graph.keys:
        value["keys"] = os.path.relpath(graph.keys, path.parent)
    if graph.state_folder:
        value["state_folder"] = os.path.relpath(graph.state_folder, path.parent)
    if graph.hosts:
        value["hosts"] = {name: _host(host) for name, host in graph.hosts.items()}
    usual: dict[str, Any] = {"durable": "", "restart": None, "ring": RING_FRAMES, "restart_limit": RESTART_LIMIT}
    value |= {name: getattr(graph, name) for name in usual if getattr(graph, name) != usual[name]}
    value["blocks"] = {name: _block(graph, block, path.parent) for name, block in graph.blocks.items()}
    lists: dict[str, list[Any]] = {"edges": [], "listen": [], "dial": []}
    for edge in graph.edges:
        kind = "dial" if edge.sender is None else "listen" if edge.receiver is None else "edges"
        lists[kind].append(_edge(edge, path, keys, bool(graph.durable)))
    return value | {kind: entries for kind, entries in lists.items() if entries}


def _host(host: Host) -> Any:
    address = f"{host.address}:{host.port}"
    model = HostEntry(address=address, listen=host.listen, patience=host.patience_s)
    entry = model.model_dump(exclude_defaults=True)
    return address if len(entry) == 1 else entry


def _block(graph: Graph, block: Block, folder: Path) -> dict[str, Any]:
    entry: dict[str, Any] = {"class": name_of(block, folder)}
    given = block.settings.model_fields_set
    if given:
        plain = json.loads(block.settings.model_dump_json(include=given))
        entry["settings"] = {name: _finite(plain[name], getattr(block.settings, name)) for name in plain}
    if graph.replicas[block.name] > 1:
        entry["replicas"] = graph.replicas[block.name]
    if block.name in graph.host_of:
        entry["host"] = graph.host_of[block.name]
    if graph.processes[block.name] != block.name:
        entry["process"] = graph.processes[block.name]
    placement = graph.placements[block.name]
    given_place = {"resources": dict(placement.resources), "group": placement.group}
    entry |= {name: value for name, value in given_place.items() if value}
    if graph.restarts[block.name] is not None:
        entry["restart"] = graph.restarts[block.name]
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


def _edge(edge: Edge, path: Path, keys: dict[str, CurveKeys], durable: bool) -> Any:
    port = edge.receiver if edge.sender is None else edge.sender
    assert port is not None
    curve = None
    if edge.curve is not None:
        curve = f"{path.stem}.{port.block.name}.{port.name}.key"
        keys[curve] = edge.curve
    model: EdgeEntry | ListenEntry | DialEntry
    name = f"{port.block.name}.{port.name}"
    usual = durable and edge.policy == "block"
    kept = {} if edge.durable == usual else {"durable": edge.durable}
    values: dict[str, Any] = {"endpoint": edge.endpoint, "curve": curve, "port": name} | kept
    if edge.sender is not None and edge.receiver is not None:
        values = {"connect": edge.name, "policy": edge.policy, "credit": edge.credit, "depth": edge.depth} | kept
        model = EdgeEntry.model_validate(values)
    elif edge.receiver is None:
        model = ListenEntry.model_validate(
            values | {"policy": edge.policy, "depth": edge.depth, "reconnect": edge.reconnect_s}
        )
    else:
        seconds = {"connect_timeout": float(edge.connect_timeout_s), "reconnect": float(edge.reconnect_s)}
        model = DialEntry.model_validate(values | {"credit": edge.credit} | seconds)
    entry = model.model_dump(exclude_defaults=True)
    return entry["connect"] if len(entry) == 1 else entry
