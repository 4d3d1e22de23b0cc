"""The part of a graph that one host runs: its blocks, and an edge over tcp for each one that leaves or enters them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from semstream.runtime.errors import FlowgraphError
from semstream.runtime.graph.edge import Edge
from semstream.runtime.graph.endpoints import CurveKeys, Host, check_listen, is_loopback
from semstream.runtime.graph.graph import Graph

G = TypeVar("G", bound=Graph)
Keys = Callable[[str, bool], CurveKeys]
"""CURVE keys of this host for an edge with another one: (the other host, whether this one listens)."""


def move(graph: Graph, text: str) -> None:
    """Give a host another address: ``NAME=HOST:PORT``, as a command line has it.

    Raises
    ------
    FlowgraphError
        If there is no such host, or the address is malformed.
    """
    name, equals, address = text.partition("=")
    if not equals or name not in graph.hosts:
        raise FlowgraphError(
            f"--address {text}: expected HOST=ADDRESS:PORT with a host of {', '.join(graph.hosts) or 'none there is'}"
        )
    graph.hosts[name] = Host.parse(name, address, patience_s=graph.hosts[name].patience_s)


def check_hosts(graph: Graph) -> list[tuple[str, str]]:
    """What is wrong with the hosts of a graph: (name of a block or host, words), nothing where there are no hosts."""
    if not graph.hosts:
        return []
    known = ", ".join(graph.hosts)
    wrong = [
        (name, f"block {name!r} lives on no host; there are: {known}")
        for name in graph.blocks
        if name not in graph.host_of
    ]
    wrong += [
        (name, f"block {name!r}: no host {host!r}; there are: {known}")
        for name, host in graph.host_of.items()
        if host not in graph.hosts and name in graph.blocks
    ]
    counts: dict[str, int] = dict.fromkeys(graph.hosts, 0)
    for edge, sender, _ in _between(graph):
        assert edge.sender is not None
        name = edge.sender.block.name
        counts[sender] = counts.get(sender, 0) + 1
        if graph.replicas[name] > 1:
            wrong.append((name, f"{edge.sender}: replicas cannot share one edge to another host; put a block behind"))
    taken: dict[tuple[str, int], str] = {}
    for name, host in graph.hosts.items():
        address, _, port = host.bound(0).removeprefix("tcp://").rpartition(":")
        if int(port) + counts[name] > 65536:
            wrong.append((name, f"host {name!r}: {counts[name]} edges leave it, too many for the ports from {port} on"))
        for number in range(counts[name]):
            other = taken.setdefault((address, int(port) + number), name)
            if other != name:
                at = f"{address}:{int(port) + number}"
                wrong.append((name, f"hosts {other!r} and {name!r} both need {at}; give them ports further apart"))
                break
        if counts[name] and not graph.keys and not all(map(is_loopback, (host.bound(0), host.dialled(0)))):
            words = f"host {name!r}: {address} can be reached from other machines; give keys:, the folder that"
            wrong.append((name, f"{words} semstream keygen {' '.join(graph.hosts)} makes"))
    return wrong


def part(graph: G, name: str, keys: Keys | None = None) -> G:
    """The part of a graph that one of its hosts runs.

    Every host that is given the same graph gets matching parts: an edge between two hosts is named as in the graph, and
    listens at the port of its sender's host, the next one for each further edge that leaves that host.

    Parameters
    ----------
    graph
        The whole graph. It keeps its blocks; the part holds the same ones.
    name
        Of the host.
    keys
        CURVE keys for an edge with another host; None: plain, on loopback alone.

    Raises
    ------
    FlowgraphError
        If there is no such host, or what `check_hosts` finds.
    """
    if not graph.hosts:
        raise FlowgraphError(
            f"flowgraph {graph.name!r} names no hosts, so that there is no part {name!r} of it; say which blocks live "
            "where by hosts: in its file, or graph.host(NAME, ADDRESS, *blocks)"
        )
    if name not in graph.hosts:
        raise FlowgraphError(f"flowgraph {graph.name!r} has no host {name!r}; there are: {', '.join(graph.hosts)}")
    if wrong := check_hosts(graph):
        raise FlowgraphError("\n".join(words for _, words in wrong))
    mine = type(graph)(
        graph.name, graph.seed, graph.engine, policy=graph.policy, credit=graph.credit, durable=graph.durable,
        # As in the whole graph, where an edge that this host has not may be durable.
        restart=graph.usual_restart if graph.guarded else graph.restart,
        ring=graph.ring, restart_limit=graph.restart_limit,
        state_folder=Path(graph.state_folder) / name if graph.state_folder else "",  # hosts may share a disk
    )  # fmt: skip
    for block in graph.blocks.values():
        if graph.host_of[block.name] == name:
            mine.add(block, graph.replicas[block.name], graph.processes[block.name])
            mine.placements[block.name] = graph.placements[block.name]
            mine.restarts[block.name] = graph.restarts[block.name]
    if not mine.blocks:
        raise FlowgraphError(f"no block lives on host {name!r}; give one host: {name}")
    numbers: dict[str, int] = {}
    between = {id(edge): (sender, receiver) for edge, sender, receiver in _between(graph)}
    for edge in graph.edges:
        sender, receiver = between.get(id(edge), ("", ""))
        if not sender:
            if all(end is None or end.block.name in mine.blocks for end in (edge.sender, edge.receiver)):
                mine.edges.append(edge)
            continue
        number = numbers.get(sender, 0)
        numbers[sender] = number + 1
        if sender == name:
            mine.edges.append(_leaving(graph, edge, graph.hosts[sender], graph.hosts[receiver], number, keys))
        elif receiver == name:
            mine.edges.append(_entering(edge, graph.hosts[sender], number, keys))
    return mine


def _between(graph: Graph) -> list[tuple[Edge, str, str]]:
    """Edges between two hosts, with the names of both."""
    found = []
    for edge in graph.edges:
        if edge.sender is not None and edge.receiver is not None:
            hosts = [graph.host_of.get(end.block.name, "") for end in (edge.sender, edge.receiver)]
            if hosts[0] != hosts[1] and all(host in graph.hosts for host in hosts):
                found.append((edge, hosts[0], hosts[1]))
    return found


def _leaving(graph: Graph, edge: Edge, host: Host, other: Host, number: int, keys: Keys | None) -> Edge:
    assert edge.sender is not None
    assert edge.receiver is not None
    endpoint, curve = host.bound(number), keys(other.name, True) if keys is not None else None
    check_listen(edge.sender.block.name, edge.sender.name, endpoint, curve)
    name = edge.receiver.block.name
    replicas = graph.replicas[name]
    return replace(
        edge,
        receiver=None,
        endpoint=endpoint,
        curve=curve,
        connect_timeout_s=other.patience_s,
        reconnect_s=other.patience_s,
        label=edge.name,
        peer=other.words,
        expects=(name,) if replicas == 1 else tuple(f"{name}#{i}" for i in range(replicas)),
    )


def _entering(edge: Edge, host: Host, number: int, keys: Keys | None) -> Edge:
    return replace(
        edge,
        sender=None,
        endpoint=host.dialled(number),
        curve=keys(host.name, False) if keys is not None else None,
        connect_timeout_s=host.patience_s,
        reconnect_s=host.patience_s,
        label=edge.name,
        peer=host.words,
    )
