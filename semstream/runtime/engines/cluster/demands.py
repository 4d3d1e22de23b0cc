"""What the processes of a run ask of a cluster, and what it lacks of that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from semstream.runtime.errors import FlowgraphError
from semstream.runtime.graph.graph import Graph
from semstream.runtime.graph.guard import why_not_amid
from semstream.runtime.graph.placement import Placement
from semstream.runtime.graph.plan import Plan

LITTLE_CPU = 0.001
"""Of a process that asks for nothing and is in a group: Ray's placement groups have no empty places."""


@dataclass(frozen=True)
class Demand:
    """One process of a run."""

    process: str
    nodes: tuple[str, ...]
    blocks: tuple[str, ...]
    resources: Mapping[str, float]
    group: str
    restarts: int
    """Most times that it is started again; -1: without limit."""


def demands_of(plan: Plan) -> dict[str, Demand]:
    """What each process of a plan asks for, by its name: the sum of what its blocks do.

    Raises
    ------
    FlowgraphError
        If blocks that share a process are in different groups, or have different restart policies.
    """
    inside: dict[str, list[tuple[str, str]]] = {}
    for name, replicas in plan.nodes.items():
        for node in replicas:
            inside.setdefault(plan.process[node], []).append((node, name))
    found = {}
    most = {"never": 0, "on_failure": plan.graph.restart_limit, "always": -1}
    for process, members in inside.items():
        blocks = tuple(block for _, block in members)
        placements = [plan.graph.placements[block] for block in blocks]
        policies = [policy_of(plan.graph, block) for block in blocks]
        _check_one(process, blocks, placements, policies)
        resources: dict[str, float] = {}
        for placement in placements:
            for name, amount in placement.resources.items():
                resources[name] = resources.get(name, 0.0) + amount
        group = placements[0].group
        if group and not resources:
            resources["CPU"] = LITTLE_CPU
        nodes = tuple(node for node, _ in members)
        found[process] = Demand(process, nodes, blocks, resources, group, most[policies[0]])
    return found


def policy_of(graph: Graph, block: str) -> str:
    """Restart policy of a block on a cluster: the graph's is not for one that cannot begin amid a stream."""
    if graph.restarts[block] is None and why_not_amid(graph.blocks[block]):
        return "never"
    return graph.restart_of(block)


def _check_one(process: str, blocks: Sequence[str], placements: Sequence[Placement], policies: Sequence[str]) -> None:
    for what, values in (("group", [p.group or "(none)" for p in placements]), ("restart", policies)):
        if len(set(values)) > 1:
            each = ", ".join(f"{block} {value}" for block, value in zip(blocks, values, strict=True))
            raise FlowgraphError(f"process {process!r}: its blocks live together, and differ in {what}: {each}")


def lacking(demands: Sequence[Demand], hosts: Sequence[Mapping[str, float]]) -> str:
    """What the hosts, given what each has, cannot give; empty if nothing.

    All together must fit into the sum of the hosts, and each process, and each group, into one of them.
    """
    lines = []
    names = dict.fromkeys(name for demand in demands for name in demand.resources)
    for name in names:
        asking = [demand for demand in demands if name in demand.resources]
        asked, there = sum(d.resources[name] for d in asking), sum(host.get(name, 0.0) for host in hosts)
        if asked > there + 1e-9:
            by = ", ".join(f"{d.process} {d.resources[name]:g}" for d in asking[:8]) + (
                ", …" if len(asking) > 8 else ""
            )
            lines.append(f"{name}: {asked:g} asked ({by}), {there:g} there")
    if lines:
        return "; ".join(lines)
    for label, needs in _units(demands).items():
        if not any(all(host.get(n, 0.0) + 1e-9 >= amount for n, amount in needs.items()) for host in hosts):
            what = ", ".join(f"{amount:g} {name}" for name, amount in needs.items())
            most = ", ".join(f"{max((host.get(n, 0.0) for host in hosts), default=0.0):g} {n}" for n in needs)
            lines.append(f"{label} asks for {what} on one host, and the most that any one has is {most}")
    return "; ".join(lines)


def _units(demands: Sequence[Demand]) -> dict[str, dict[str, float]]:
    units: dict[str, dict[str, float]] = {}
    for demand in demands:
        needs = units.setdefault(f"group {demand.group!r}" if demand.group else f"process {demand.process!r}", {})
        for name, amount in demand.resources.items():
            needs[name] = needs.get(name, 0.0) + amount
    return units
