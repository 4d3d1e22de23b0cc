"""From a flowgraph to the nodes of a run: replicas, lanes, endpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .block import Block
from .port import PortType
from .spec import InputSpec, NodeSpec, OutputSpec

if TYPE_CHECKING:
    from .graph import Edge, Flowgraph


@dataclass(frozen=True)
class Placed:
    """A node with what an engine needs to start it."""

    spec: NodeSpec
    block: Block
    replica: int
    process: str
    out_types: dict[str, PortType]


def make_plan(
    fg: Flowgraph,
    control: Callable[[int], str],
    endpoint: Callable[[int, int, bool], str],
    reference: Callable[[Block], str],
) -> list[Placed]:
    """Nodes of a run.

    Parameters
    ----------
    fg
        The validated flowgraph.
    control
        Endpoint of the control line of node number i.
    endpoint
        Endpoint of edge number i at replica r of its sender; the flag says that both ends share a process.
    reference
        How a block's class is named for where it will run.
    """
    inputs: dict[str, list[InputSpec]] = {}
    outputs: dict[str, list[OutputSpec]] = {}
    process = {
        node: fg.processes[name] if fg.replicas[name] == 1 else f"{fg.processes[name]}#{i}"
        for name in fg.blocks
        for i, node in enumerate(nodes_of(fg, name))
    }
    for number, edge in enumerate(fg.edges):
        _place_edge(fg, number, edge, endpoint, process, inputs, outputs)
    placed: list[Placed] = []
    for name, block in fg.blocks.items():
        types = {port: fg.type_of(block.port(port)) for port in block.outputs}
        for replica, node in enumerate(nodes_of(fg, name)):
            spec = NodeSpec(
                node=node,
                block=name,
                graph=fg.name,
                reference=reference(block),
                settings=block.settings.model_dump_json(),
                seed=fg.seed,
                control=control(len(placed)),
                inputs=inputs.get(node, []),
                outputs=outputs.get(node, []),
            )
            placed.append(Placed(spec, block, replica, process[node], types))
    return placed


def nodes_of(fg: Flowgraph, name: str) -> list[str]:
    """Names of the nodes of a block: its own, or one a replica."""
    count = fg.replicas[name]
    return [name] if count == 1 else [f"{name}#{i}" for i in range(count)]


def _place_edge(
    fg: Flowgraph,
    number: int,
    edge: Edge,
    endpoint: Callable[[int, int, bool], str],
    process: dict[str, str],
    inputs: dict[str, list[InputSpec]],
    outputs: dict[str, list[OutputSpec]],
) -> None:
    senders = nodes_of(fg, edge.sender.block.name) if edge.sender else []
    receivers = nodes_of(fg, edge.receiver.block.name) if edge.receiver else []
    lanes = len(senders) > 1 and len(receivers) > 1
    together = len({process[node] for node in senders + receivers}) == 1
    endpoints = [edge.endpoint or endpoint(number, i, together) for i in range(max(1, len(senders)))]
    remote = bool(edge.endpoint)
    for i, node in enumerate(senders):
        assert edge.sender is not None
        consumers = [receivers[i]] if lanes else receivers
        outputs.setdefault(node, []).append(
            OutputSpec(
                edge.sender.name, edge.name, endpoints[i], edge.policy, edge.depth, consumers, remote, edge.curve
            )
        )
    for i, node in enumerate(receivers):
        assert edge.receiver is not None
        mine = slice(i, i + 1) if lanes else slice(None)
        inputs.setdefault(node, []).append(
            InputSpec(
                edge.receiver.name,
                edge.name,
                endpoints[mine],
                senders[mine] or [edge.endpoint],
                edge.credit,
                remote,
                edge.connect_timeout_s,
                edge.curve,
            )
        )
