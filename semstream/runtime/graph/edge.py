"""Edge: one connection of a graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from semstream.runtime.block.block import BoundPort
from semstream.runtime.graph.endpoints import CurveKeys

POLICIES = ("block", "drop_oldest", "latest")
Credit = int | Literal["auto"]
"""Frames that may be under way to one receiver; ``"auto"``: as many as the way to another host needs, 2 otherwise."""


@dataclass(frozen=True)
class Edge:
    """One connection. A `sender` or `receiver` of None is in another flowgraph, at `endpoint`.

    `reconnect_s` is how long the other flowgraph may be away before the run fails. `label`, `peer` and `expects` are
    of an edge between two hosts of one graph: its name there, the other host in words, and the nodes that dial.
    """

    sender: BoundPort | None
    receiver: BoundPort | None
    policy: str = "block"
    credit: Credit = 2
    depth: int = 1
    endpoint: str = ""
    curve: CurveKeys | None = None
    connect_timeout_s: float = 30.0
    reconnect_s: float = 0.0
    label: str = ""
    peer: str = ""
    expects: tuple[str, ...] = ()
    durable: bool = False

    @property
    def ends(self) -> tuple[BoundPort, ...]:
        """Its ports in this graph."""
        return tuple(end for end in (self.sender, self.receiver) if end is not None)

    @property
    def name(self) -> str:
        """``a.out -> b.image``."""
        if self.label:
            return self.label
        ends = (f"{e.block.name}.{e.name}" if e else self.endpoint for e in (self.sender, self.receiver))
        return " -> ".join(ends)
