"""What fits to what: the types that ports carry, inputs that lack an edge, and edges that cannot be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from semstream.runtime.block.block import Block, BoundPort, In
from semstream.runtime.errors import FlowgraphError, PortError
from semstream.runtime.frames.types import ANY, PortType
from semstream.runtime.frames.wire import MAX_CREDIT
from semstream.runtime.graph.edge import POLICIES, Credit, Edge


def unconnected(blocks: Mapping[str, Block], edges: Iterable[Edge]) -> list[BoundPort]:
    """Input ports that need an edge and have none; of a block whose inputs are all optional, one is needed."""
    taken = {(e.receiver.block.name, e.receiver.name) for e in edges if e.receiver}
    missing = []
    for b in blocks.values():
        free = [name for name in b.inputs if (b.name, name) not in taken]
        needed = [name for name in free if not b.inputs[name].optional]
        if not needed and free and len(free) == len(b.inputs):
            needed = free[:1]
        missing += [b.port(name) for name in needed]
    return missing


def type_of(port: BoundPort, edges: Iterable[Edge]) -> PortType:
    """What a port carries; for an output that is like an input, what is connected there."""
    edges, seen = list(edges), set()
    while not isinstance(port.port, In) and port.port.like is not None and port.block.name not in seen:
        seen.add(port.block.name)
        like = port.port.like
        declared = port.block.inputs[like].type
        if not declared.is_any:
            return declared
        taken = ((e.receiver, e.sender) for e in edges if e.receiver)
        source = next((s for r, s in taken if r.block is port.block and r.name == like), None)
        if source is None:
            return ANY
        port = source
    return port.port.type


def check_replicas(block: Block, replicas: int) -> None:
    """Refuse a number of replicas that a block cannot have.

    Raises
    ------
    FlowgraphError
        If it is none, or the block joins inputs or renumbers.
    """
    if replicas < 1:
        raise FlowgraphError(f"block {block.name!r}: expected replicas >= 1, got {replicas}", block.name)
    if replicas > 1 and (len(block.inputs) != 1 or block.renumber):
        what = "renumbers its frames" if block.renumber else f"has {len(block.inputs)} inputs"
        raise FlowgraphError(
            f"block {block.name!r} {what} and cannot have replicas; replicate blocks with one input", block.name
        )


def check_edge(edges: Iterable[Edge], policy: str, credit: Credit, depth: int, receiver: BoundPort | None) -> None:
    """Refuse a new edge that cannot be beside those that there are.

    Raises
    ------
    PortError
        If policy, credit or depth is none, or the input has an edge.
    """
    if policy not in POLICIES:
        raise PortError(f"expected a policy of {', '.join(POLICIES)}, got {policy!r}")
    if (credit != "auto" and not 1 <= credit <= MAX_CREDIT) or depth < 1:
        raise PortError(f"expected credit from 1 to {MAX_CREDIT} or 'auto', and depth >= 1, got {credit!r} and {depth}")
    if receiver is None:
        return
    for edge in edges:
        if edge.receiver and edge.receiver.block is receiver.block and edge.receiver.name == receiver.name:
            raise PortError(
                f"{receiver} already takes {edge.name}; an input has one edge: give the block one port a sender"
            )


def check_types(edges: Iterable[Edge], replicas: Mapping[str, int]) -> None:
    """Refuse edges whose ends carry different things, or have different numbers of replicas.

    Raises
    ------
    PortError
        If so: block, port, expected, got, and what to do.
    """
    edges = list(edges)
    for edge in edges:
        if edge.sender is None or edge.receiver is None:
            continue
        refusal = type_of(edge.sender, edges).refusal(edge.receiver.port.type)
        if refusal is not None:
            raise PortError(
                f"{edge.receiver}: {refusal} from {edge.sender}; connect a block that gives "
                f"{edge.receiver.port.type.name}, or put a converting block between"
            )
        pair = replicas[edge.sender.block.name], replicas[edge.receiver.block.name]
        if min(pair) > 1 and pair[0] != pair[1]:
            raise PortError(
                f"{edge.receiver} has {pair[1]} replicas and {edge.sender} has {pair[0]}; replicated neighbours "
                "run as parallel lanes: give both the same number, or put a block between"
            )


def followers(edges: Iterable[Edge]) -> list[tuple[str, str]]:
    """Names of the blocks at both ends of each edge within the graph."""
    return [(e.sender.block.name, e.receiver.block.name) for e in edges if e.sender and e.receiver]
