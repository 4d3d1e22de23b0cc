"""Plan: from a graph to the nodes of a run. Replicas, parallel lanes, which process runs what, and endpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from semstream.runtime.block.block import Block
from semstream.runtime.frames.types import PortType
from semstream.runtime.graph.edge import Edge
from semstream.runtime.graph.graph import Graph
from semstream.runtime.graph.guard import Standing
from semstream.runtime.graph.nodes import InputSpec, NodeSpec, OutputSpec


@dataclass(frozen=True)
class Placed:
    """A node with what an engine needs to start it."""

    spec: NodeSpec
    block: Block
    replica: int
    process: str
    out_types: dict[str, PortType]


class Plan:
    """The nodes of a run of a graph: what an engine takes.

    Parameters
    ----------
    graph
        The validated graph.
    standing
        Where a run of it stands that goes on.

    Attributes
    ----------
    nodes : dict of str to list of str
        Names of the nodes of each block: its own, or one a replica.
    process : dict of str to str
        Which nodes share a process, where the engine has processes: those with the same name here.
    """

    def __init__(self, graph: Graph, standing: Standing | None = None) -> None:
        self.graph = graph
        self.standing = standing
        self.nodes: dict[str, list[str]] = {}
        self.process: dict[str, str] = {}
        for name, count in graph.replicas.items():
            self.nodes[name] = [name] if count == 1 else [f"{name}#{i}" for i in range(count)]
            shared = graph.processes[name]
            for i, node in enumerate(self.nodes[name]):
                self.process[node] = shared if count == 1 else f"{shared}#{i}"

    def place(
        self,
        control: Callable[[int], str],
        endpoint: Callable[[int, int, bool], str],
        reference: Callable[[Block], str],
    ) -> list[Placed]:
        """The nodes, each with what it must be told.

        Parameters
        ----------
        control
            Endpoint of the control line of node number i.
        endpoint
            Endpoint of edge number i at replica r of its sender; the flag says that both ends share a process.
        reference
            How a block's class is named for where it will run.
        """
        graph = self.graph
        inputs: dict[str, list[InputSpec]] = {}
        outputs: dict[str, list[OutputSpec]] = {}
        for number, edge in enumerate(graph.edges):
            _place_edge(self, number, edge, endpoint, inputs, outputs)
        placed: list[Placed] = []
        for name, block in graph.blocks.items():
            types = {port: graph.type_of(block.port(port)) for port in block.outputs}
            for replica, node in enumerate(self.nodes[name]):
                spec = NodeSpec(
                    node=node,
                    block=name,
                    graph=graph.name,
                    reference=reference(block),
                    settings=block.settings.model_dump_json(),
                    seed=graph.seed,
                    control=control(len(placed)),
                    inputs=inputs.get(node, []),
                    outputs=outputs.get(node, []),
                )
                placed.append(Placed(spec, block, replica, self.process[node], types))
        return placed


def _place_edge(
    plan: Plan,
    number: int,
    edge: Edge,
    endpoint: Callable[[int, int, bool], str],
    inputs: dict[str, list[InputSpec]],
    outputs: dict[str, list[OutputSpec]],
) -> None:
    senders = plan.nodes[edge.sender.block.name] if edge.sender else []
    receivers = plan.nodes[edge.receiver.block.name] if edge.receiver else []
    lanes = len(senders) > 1 and len(receivers) > 1
    together = len({plan.process[node] for node in senders + receivers}) == 1
    endpoints = [edge.endpoint or endpoint(number, i, together) for i in range(max(1, len(senders)))]
    remote = bool(edge.endpoint)
    for i, node in enumerate(senders):
        assert edge.sender is not None
        consumers = [receivers[i]] if lanes else receivers or list(edge.expects)
        outputs.setdefault(node, []).append(
            OutputSpec(
                edge.sender.name,
                edge.name,
                endpoints[i],
                edge.policy,
                edge.depth,
                consumers,
                remote,
                edge.curve,
                edge.connect_timeout_s,
                edge.reconnect_s,
                edge.peer,
                edge.durable,
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
                2 if edge.credit == "auto" else edge.credit,
                remote,
                edge.connect_timeout_s,
                edge.curve,
                edge.credit == "auto",
                edge.reconnect_s,
                edge.peer,
                edge.durable,
            )
        )
