"""What a run does when a block dies: restart policies, durable edges, and what a node must know of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from semstream.runtime.block.block import Block
from semstream.runtime.errors import FlowgraphError
from semstream.runtime.graph.edge import Edge

RESTARTS = ("never", "on_failure", "always")
RINGS = ("memory", "disk")
RING_FRAMES = 1024
RESTART_LIMIT = 5
INSTEAD_OF_RESTARTS = "restart says it: 'on_failure' (at most restart_limit times), 'always' or 'never'"
"""Of ``restarts``, a number for the engine ``ray`` alone that there once was."""


@dataclass(frozen=True)
class Guard:
    """What a node must know to be started again.

    Attributes
    ----------
    run : str
        Name of the run, which its files and its receivers in other flowgraphs carry.
    folder : str
        Where snapshots and rings are; empty: in this process (engine ``threads``).
    ring : int
        Most frames of one edge that are sent and not yet acknowledged.
    disk : bool
        Whether a source's frames are kept in files.
    restart : str
        Restart policy of the block.
    life : int
        How often it was started again.
    finished : tuple of str
        Nodes that have ended in order: they will neither send nor need anything.
    ended : tuple of str
        Ports whose stream from another flowgraph has ended.
    outlives : bool
        Whether the folder outlives the program that has started the run, so that a stop is not the end.
    """

    run: str
    folder: str
    ring: int
    disk: bool
    restart: str
    life: int = 0
    finished: tuple[str, ...] = field(default=())
    ended: tuple[str, ...] = field(default=())
    outlives: bool = False

    @property
    def keeps(self) -> bool:
        """Whether another life may need snapshots."""
        return self.outlives or self.restart != "never"

    @classmethod
    def from_plain(cls, value: dict[str, Any] | None) -> Guard | None:
        """Inverse of `dataclasses.asdict`; None stays None."""
        if value is None:
            return None
        return cls(**{**value, "finished": tuple(value["finished"]), "ended": tuple(value["ended"])})


@dataclass(frozen=True)
class Standing:
    """Where a run stands whose state outlives the program that has started it.

    Attributes
    ----------
    run, folder : str
        Its name, and where snapshots and rings are.
    lives : dict of str to int
        By node, how often its block was started before.
    finished : tuple of str
        Nodes that have ended in order, and are not started again.
    ended : dict of str to tuple of str
        By node, ports whose stream from another flowgraph has ended.
    locks : tuple of int
        Descriptors that every process of the run holds as long as it lives.
    """

    run: str
    folder: str
    lives: dict[str, int]
    finished: tuple[str, ...]
    ended: dict[str, tuple[str, ...]]
    locks: tuple[int, ...] = ()


def ring_kind(value: bool | str) -> str:
    """``"memory"``, ``"disk"`` or nothing, from what a user has given.

    Raises
    ------
    FlowgraphError
        If it is something else.
    """
    if isinstance(value, bool):
        return "memory" if value else ""
    if value not in ("", *RINGS):
        raise FlowgraphError(f"durable: expected True, False, {' or '.join(map(repr, RINGS))}, got {value!r}")
    return value


def check_restart(value: str | None, block: str | None = None) -> None:
    """Refuse what is no restart policy.

    Raises
    ------
    FlowgraphError
        Naming those that there are.
    """
    if value is not None and value not in RESTARTS:
        about = f"block {block!r}: " if block else ""
        raise FlowgraphError(f"{about}expected a restart policy of {', '.join(RESTARTS)}, got {value!r}", block)


def check_limits(ring: int, restart_limit: int) -> None:
    """Refuse a ring or a limit that is too small.

    Raises
    ------
    FlowgraphError
        If so.
    """
    if ring < 1 or restart_limit < 1:
        raise FlowgraphError(f"expected ring >= 1 and restart_limit >= 1, got {ring} and {restart_limit}")


def refuse_unknown(block: str, unknown: Mapping[str, object]) -> None:
    """Refuse arguments of `Graph.add` that there are not.

    Raises
    ------
    FlowgraphError
        If it is ``restarts``: what takes its place.
    TypeError
        If it is another one.
    """
    for name, value in unknown.items():
        if name != "restarts":
            raise TypeError(f"add() got an unexpected keyword argument {name!r}")
        raise FlowgraphError(f"block {block!r}, restarts={value!r}: {INSTEAD_OF_RESTARTS}", block)


def why_not_amid(block: Block) -> str:
    """Why a block that begins anew cannot take its place amid a stream; empty if it can."""
    if block.is_source:
        return "a source begins from its first frame again"
    return "it numbers its frames anew" if block.renumber else ""


def check_on_ray(blocks: Mapping[str, Block], edges: Iterable[Edge], given: Mapping[str, str | None]) -> None:
    """Refuse what the engine ``ray`` cannot do about deaths: it keeps no frames, and blocks begin anew.

    Parameters
    ----------
    given
        Restart policies that blocks have of their own.

    Raises
    ------
    FlowgraphError
        If an edge is durable, or a block that cannot begin amid a stream is to be started again.
    """
    for edge in edges:
        if edge.durable:
            raise FlowgraphError(
                f"edge {edge.name} is durable, and engine 'ray' keeps no frames: give durable=False, or another engine"
            )
    for name, policy in given.items():
        why = why_not_amid(blocks[name])
        if why and policy not in (None, "never"):
            raise FlowgraphError(
                f"block {name!r}, restart={policy!r}: {why}, so engine 'ray' cannot start it again amid a stream; give "
                "restart='never', or another engine",
                name,
            )


def check_reconnect(edges: Iterable[Edge]) -> None:
    """Refuse edges that reconnect by themselves, in a run whose blocks the owner may start again.

    Raises
    ------
    FlowgraphError
        If there is one.
    """
    for edge in edges:
        if edge.reconnect_s and not (edge.durable or edge.peer):
            raise FlowgraphError(
                f"edge {edge.name}: reconnect is for runs whose blocks are not started again; make the edge durable, "
                "which comes back without loss, or give restart='never' and no durable edge"
            )


def check_durable(
    blocks: Mapping[str, Block], edges: Iterable[Edge], restarts: Mapping[str, str], disk: bool, state_folder: str
) -> None:
    """Refuse durable edges that could not keep their promise.

    Raises
    ------
    FlowgraphError
        If frames come to a durable edge over one that may lose them, or from a source that cannot give them again, or
        no edge is durable though there is a state folder.
    """
    edges = list(edges)
    if state_folder and not any(edge.durable for edge in edges):
        raise FlowgraphError(
            f"state folder {state_folder}: it keeps what durable edges keep, and no edge is durable; give durable=True "
            "or 'disk' (--durable memory or disk) too, or no state folder"
        )
    for edge in edges:
        if not edge.durable or edge.sender is None:
            continue
        block = edge.sender.block
        for other in edges:
            if other.receiver is not None and other.receiver.block is block and not other.durable:
                raise FlowgraphError(
                    f"edge {edge.name} is durable and {other.name}, which feeds it, is not: frames could be lost "
                    "before they are kept; make that one durable too (policy block), or neither",
                    block.name,
                )
        again = state_folder or restarts[block.name] != "never"
        if again and block.is_source and not disk and not blocks[block.name].repeatable:
            raise FlowgraphError(
                f"block {block.name!r} cannot give its frames again if it dies: keep them in files, durable='disk', or "
                "do not start it again, restart='never' and no state folder",
                block.name,
            )
